"""What a picture shows: scenes of coloured shapes and digits, drawn by lot, and their facts."""

from dataclasses import dataclass, replace

import numpy as np

# Every colour is a handful of anchors; a picture mixes them, so that a name covers a region.
COLOURS = {
    "red": ((215, 35, 35), (255, 0, 0), (200, 15, 30)),
    "orange": ((240, 125, 20), (255, 165, 0), (250, 140, 40)),
    "yellow": ((255, 255, 0), (245, 212, 40), (250, 235, 70)),
    "green": ((45, 160, 60), (0, 128, 0), (40, 220, 40)),
    "cyan": ((0, 255, 255), (60, 205, 215), (70, 220, 210)),
    "blue": ((0, 0, 255), (40, 75, 205), (30, 100, 230)),
    "purple": ((128, 0, 128), (130, 50, 165), (150, 80, 200)),
    "pink": ((255, 192, 203), (245, 120, 180), (255, 105, 180)),
    "brown": ((115, 70, 35), (139, 69, 19), (125, 60, 40)),
    "black": ((0, 0, 0), (20, 20, 20), (35, 35, 35)),
    "white": ((255, 255, 255), (245, 245, 245), (232, 232, 232)),
    "gray": ((128, 128, 128), (150, 150, 150), (105, 105, 110)),
}
SHAPES = (
    "circle", "square", "triangle", "star", "heart",
    "cross", "ring", "diamond", "arrow", "crescent",
)  # fmt: skip
# Never in any training picture or caption; every colour once, every shape once or twice.
HELD_OUT = frozenset(
    {
        ("red", "arrow"), ("orange", "heart"), ("yellow", "cross"), ("green", "triangle"),
        ("cyan", "crescent"), ("blue", "star"), ("purple", "square"), ("pink", "diamond"),
        ("brown", "circle"), ("black", "ring"), ("white", "heart"), ("gray", "cross"),
    }
)  # fmt: skip
COMBINATIONS = tuple((colour, shape) for colour in COLOURS for shape in SHAPES)
SEEN = tuple(pair for pair in COMBINATIONS if pair not in HELD_OUT)
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIZES = ("small", "medium", "large")
PLACES = {
    "top left": (0.27, 0.27), "top": (0.5, 0.25), "top right": (0.73, 0.27),
    "left": (0.25, 0.5), "center": (0.5, 0.5), "right": (0.75, 0.5),
    "bottom left": (0.27, 0.73), "bottom": (0.5, 0.75), "bottom right": (0.73, 0.73),
}  # fmt: skip
RELATIONS = {"horizontal": "left of", "vertical": "above"}
STYLES = ("plain", "gradient", "noisy", "striped")
KINDS = ("single", "pair", "count", "digit")


@dataclass(frozen=True)
class Thing:
    """One coloured object; `shape` is a shape's name, or a digit's word in a digit scene."""

    colour: str
    shape: str
    size: str = "medium"


@dataclass(frozen=True)
class Scene:
    """Everything a caption may speak of.

    `things` holds two objects in a pair (the left or upper one first), one otherwise. `place` is
    a key of PLACES (single) or of RELATIONS (pair), "" otherwise. `number` copies are drawn.
    """

    kind: str
    things: tuple[Thing, ...]
    background: str
    style: str = "plain"
    place: str = ""
    number: int = 1

    def facts(self):
        """Everything that is true of the picture, as a frozenset of strings."""
        found = {self.kind, f"{self.background} background", f"{self.style} background"}
        if self.place:
            found.add(self.place)
        if self.kind == "count":
            found.add(f"{self.number} things")
        for thing in self.things:
            found |= thing_facts(thing)
        if self.kind == "pair":
            first, second = (f"{thing.colour} {thing.shape}" for thing in self.things)
            found.add(f"{first} {RELATIONS[self.place]} {second}")
        return frozenset(found)


def thing_facts(thing):
    """The facts of one object, its size tied to its colour and shape."""
    name = f"{thing.colour} {thing.shape}"
    return {thing.colour, thing.shape, name, f"{thing.size} {name}"}


def distinct(first, second):
    """Whether two colour names are told apart easily where one lies on the other."""
    first, second = (np.mean(COLOURS[name], axis=0) for name in (first, second))
    return float(np.linalg.norm(first - second)) > 100.0


DISTINCT = {name: tuple(other for other in COLOURS if distinct(name, other)) for name in COLOURS}


def pick(rng, options):
    """One element of a sequence (np.random.Generator.choice would turn tuples into arrays)."""
    return options[int(rng.integers(len(options)))]


def draw_background(rng, colours):
    """A background (colour, style) on which every one of `colours` is visible."""
    names = [name for name in COLOURS if all(name in DISTINCT[colour] for colour in colours)]
    plain = [name for name in ("white", "black", "gray") if name in names]
    colour = pick(rng, plain) if plain and rng.random() < 0.4 else pick(rng, names)
    return colour, "plain" if rng.random() < 0.5 else pick(rng, STYLES[1:])


def draw_scene(rng, kind, combinations=SEEN):
    """A scene of the given kind whose objects are of the given (colour, shape) combinations."""
    number, place = 1, ""
    if kind == "digit":
        # Ink on paper is mostly black on white or the reverse.
        ink = pick(rng, ("black", "white")) if rng.random() < 0.4 else pick(rng, tuple(COLOURS))
        things = (Thing(ink, pick(rng, DIGITS)),)
    elif kind == "single":
        things = (Thing(*pick(rng, combinations), pick(rng, SIZES)),)
        place = "center" if rng.random() < 0.35 else pick(rng, tuple(PLACES))
    elif kind == "count":
        things = (Thing(*pick(rng, combinations)),)
        number = int(rng.integers(2, 6))
    else:
        while True:
            pairs = pick(rng, combinations), pick(rng, combinations)
            if pairs[0] != pairs[1]:
                break
        things = tuple(Thing(*pair, pick(rng, SIZES)) for pair in pairs)
        place = pick(rng, tuple(RELATIONS))
    background, style = draw_background(rng, [thing.colour for thing in things])
    return Scene(kind, things, background, style, place, number)


def twin(scene, rng):
    """A scene that differs in one respect only: the hard negative beside it in a batch."""
    thing = scene.things[0]
    if scene.kind == "digit":
        others = tuple(word for word in DIGITS if word != thing.shape)
        return replace(scene, things=(replace(thing, shape=pick(rng, others)),))
    if scene.kind == "count":
        return replace(scene, number=pick(rng, tuple(n for n in range(2, 6) if n != scene.number)))
    if scene.kind == "single":
        return twin_of_single(scene, thing, rng)
    if rng.random() < 0.6:
        return replace(scene, things=scene.things[::-1])
    return replace(scene, place="vertical" if scene.place == "horizontal" else "horizontal")


def twin_of_single(scene, thing, rng):
    """A single shape with another outline, mostly; else another place, colour or size."""
    lot = rng.random()
    if lot < 0.5:
        shapes = [shape for colour, shape in SEEN if colour == thing.colour]
        changed = replace(thing, shape=pick(rng, [s for s in shapes if s != thing.shape]))
    elif lot < 0.7:
        place = pick(rng, tuple(place for place in PLACES if place != scene.place))
        return replace(scene, place=place)
    elif lot < 0.85:
        colours = [colour for colour, shape in SEEN if shape == thing.shape]
        visible = [c for c in colours if c != thing.colour and c in DISTINCT[scene.background]]
        changed = replace(thing, colour=pick(rng, visible)) if visible else thing
    else:
        changed = replace(thing, size=pick(rng, tuple(s for s in SIZES if s != thing.size)))
    return replace(scene, things=(changed,))
