"""Captions: a grammar that says some of a scene's facts, and which facts it said."""

import re
import zlib

from scenes import DIGITS, PLACES, pick

OPENINGS = ("a photo of", "a picture of", "a drawing of", "an image of", "this is", "there is",
            "a photograph of", "an illustration of", "you can see")  # fmt: skip
ON_PAGE = {
    "top left": ("in the top left corner", "at the top left", "in the upper left"),
    "top": ("at the top", "near the top", "in the upper middle"),
    "top right": ("in the top right corner", "at the top right", "in the upper right"),
    "left": ("on the left", "on the left side", "at the left"),
    "center": ("in the middle", "in the center", "at the center"),
    "right": ("on the right", "on the right side", "at the right"),
    "bottom left": ("in the bottom left corner", "at the bottom left", "in the lower left"),
    "bottom": ("at the bottom", "near the bottom", "in the lower middle"),
    "bottom right": ("in the bottom right corner", "at the bottom right", "in the lower right"),
}
BETWEEN = {
    "horizontal": ("{a} left of {b}", "{a} to the left of {b}", "{b} to the right of {a}",
                   "{b} right of {a}", "{a} on the left and {b} on the right"),
    "vertical": ("{a} above {b}", "{a} over {b}", "{b} below {a}", "{b} under {a}",
                 "{a} at the top and {b} at the bottom"),
}  # fmt: skip
STYLE_WORDS = {
    "gradient": ("gradient", "shaded"), "noisy": ("noisy", "grainy"),
    "striped": ("striped", "stripy"),
}  # fmt: skip
SYNONYMS = {"purple": "violet", "gray": "grey", "crescent": "moon"}
SIZE_WORDS = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}


def describe(scene, rng, detail=0.5):
    """A caption of `scene` and the frozenset of facts that it states.

    Args:
        scene: scenes.Scene.
        rng: np.random.Generator.
        detail: probability with which each optional fact is said.
    """
    phrase, facts = PHRASES[scene.kind](scene, rng, detail)
    if rng.random() < detail:
        ground, said = backdrop(scene, rng)
        phrase, facts = f"{phrase} {ground}", facts | said
    bare = scene.kind != "digit" and phrase.startswith(("a ", "an ")) and rng.random() < 0.1
    if bare:
        phrase = phrase.split(" ", 1)[1]
    elif rng.random() < 0.6:
        phrase = f"{pick(rng, OPENINGS)} {phrase}"
    return phrase + ("." if rng.random() < 0.2 else ""), frozenset(facts | {scene.kind})


def word(name, rng):
    """The name itself, or now and then its synonym."""
    return SYNONYMS[name] if name in SYNONYMS and rng.random() < 0.25 else name


def article(phrase):
    """The phrase with a or an before it."""
    return f"{'an' if phrase[0] in 'aeio' else 'a'} {phrase}"


def noun(thing, rng, detail, plural=False):
    """(adjectives and noun without article, facts) of one object."""
    name = f"{thing.colour} {thing.shape}"
    facts, shape = {name, thing.colour, thing.shape}, word(thing.shape, rng)
    if plural:
        shape += "es" if shape.endswith(("s", "x")) else "s"
    phrase = f"{word(thing.colour, rng)} {shape}"
    if not plural and thing.size in SIZE_WORDS and rng.random() < detail:
        phrase = f"{pick(rng, SIZE_WORDS[thing.size])} {phrase}"
        facts.add(f"{thing.size} {name}")
    return phrase, facts


def backdrop(scene, rng):
    """(phrase, facts) of the background."""
    colour, facts = word(scene.background, rng), {f"{scene.background} background"}
    if scene.style != "plain" and rng.random() < 0.5:
        colour = f"{pick(rng, STYLE_WORDS[scene.style])} {colour}"
        facts.add(f"{scene.style} background")
    form = pick(rng, ("on {} background", "on {} background", "against {} background", "on {}"))
    if form == "on {}":
        if " " in colour:
            return f"on {article(colour)} background", facts
        return f"on {colour}", facts
    return form.format(article(colour)), facts


def single(scene, rng, detail):
    """(phrase, facts) of one shape; now and then only its colour or only its shape is said."""
    thing, place = scene.things[0], ""
    facts = set()
    if rng.random() < detail:
        place, facts = " " + pick(rng, ON_PAGE[scene.place]), {scene.place}
        if rng.random() < 0.12:
            partial = (f"{word(thing.colour, rng)} shape", thing.colour)
            partial = pick(rng, (partial, (word(thing.shape, rng), thing.shape)))
            return article(partial[0]) + place, facts | {partial[1]}
    phrase, said = noun(thing, rng, detail)
    phrase = article(phrase) if rng.random() < 0.93 else f"one {phrase}"
    if rng.random() < 0.06:
        phrase = f"{article(word(thing.shape, rng))} that is {word(thing.colour, rng)}"
        said = {f"{thing.colour} {thing.shape}", thing.colour, thing.shape}
    return phrase + place, facts | said


def count(scene, rng, detail):
    """(phrase, facts) of several equal shapes."""
    phrase, facts = noun(scene.things[0], rng, detail, plural=True)
    number = str(scene.number) if rng.random() < 0.25 else NUMBERS[scene.number]
    form = pick(rng, ("{} {}", "{} {}", "{} {}", "a group of {} {}"))
    return form.format(number, phrase), facts | {f"{scene.number} things"}


def pair(scene, rng, detail):
    """(phrase, facts) of two shapes, mostly with how they lie to each other."""
    (first, facts), (second, more) = (noun(thing, rng, detail * 0.6) for thing in scene.things)
    first, second = article(first), article(second)
    facts = facts | more
    if rng.random() < 0.2:
        if rng.random() < 0.5:
            first, second = second, first
        return f"{first} and {second}", facts
    names = [f"{thing.colour} {thing.shape}" for thing in scene.things]
    relation = {"horizontal": "left of", "vertical": "above"}[scene.place]
    facts = facts | {scene.place, f"{names[0]} {relation} {names[1]}"}
    return pick(rng, BETWEEN[scene.place]).format(a=first, b=second), facts


def digit(scene, rng, detail):
    """(phrase, facts) of a handwritten digit."""
    thing = scene.things[0]
    name = thing.shape if rng.random() < 0.5 else str(DIGITS.index(thing.shape))
    form = pick(rng, ("a handwritten {c}{}", "the {c}digit {}", "the {c}number {}",
                      "a handwritten {c}digit {}", "the handwritten {c}number {}",
                      "a {c}{} written by hand", "the {c}handwritten digit {}"))  # fmt: skip
    if rng.random() >= detail:
        return tidy(form.format(name, c="")), {thing.shape}
    colour = word(thing.colour, rng)
    facts = {thing.shape, thing.colour, f"{thing.colour} {thing.shape}"}
    if rng.random() < 0.5:
        return tidy(form.format(name, c="")) + f" in {colour}", facts
    return tidy(form.format(name, c=colour + " ")), facts


def tidy(phrase):
    """'a orange' and 'a eight' become 'an orange' and 'an eight'."""
    return re.sub(r"\ba (?=[aeio]|8)(?!one\b)", "an ", phrase)


PHRASES = {"single": single, "pair": pair, "count": count, "digit": digit}


def reserved(caption):
    """Whether this caption is kept for evaluation: a fixed tenth of those of eight words or more.

    Short captions are not reserved, so that no plain label is missing from the training set.
    """
    words = caption.strip(".").split()
    return len(words) >= 8 and zlib.crc32(" ".join(words).encode()) % 10 == 0


assert set(ON_PAGE) == set(PLACES)
