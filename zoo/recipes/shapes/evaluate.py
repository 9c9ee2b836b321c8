"""Measure the bundled CLIP on held-out data: `python zoo/recipes/shapes/evaluate.py`."""

import argparse
import json
import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import digits
import numpy as np
from dataset import draw_batch
from grammar import ON_PAGE, article, reserved
from render import render
from scenes import COMBINATIONS, DIGITS, HELD_OUT, SEEN, Scene, draw_scene

NAME = "clip_resnet_tiny_shapes"
SHAPE_TEMPLATES = ("{}", "a photo of {}", "a picture of {}", "a drawing of {}")
DIGIT_TEMPLATES = ("a handwritten {}", "a photo of the digit {}", "the number {}")
NUMBERS = ("two", "three", "four", "five")
SEED = 1000


def class_vectors(clip, names, templates):
    """One unit vector a class, the mean over the templates: (classes, dim)."""
    prompts = [template.format(name) for name in names for template in templates]
    vectors = clip.embed_texts(prompts, progress=False)
    vectors = vectors.reshape(len(names), len(templates), -1).mean(axis=1)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def embed(clip, pictures):
    """Pictures (n, 64, 64, 3) uint8 -> (n, dim)."""
    return clip.embed_images(np.stack(pictures), batch_size=64, progress=False)


def accuracy(found, wanted):
    """The share of equal entries, in percent."""
    return 100.0 * float(np.mean(np.asarray(found) == np.asarray(wanted)))


def combination_prompts():
    """Class names and templates of the colour-shape combinations."""
    return [article(" ".join(combination)) for combination in COMBINATIONS], SHAPE_TEMPLATES


def digit_prompts():
    """Class names and templates of the digits."""
    return DIGITS, DIGIT_TEMPLATES


def combination_pictures(allowed, count, seed=SEED):
    """Single shapes of the `allowed` combinations in turn: `count` pictures and class numbers."""
    rng = np.random.default_rng(seed)
    allowed = sorted(allowed)
    chosen = [allowed[number % len(allowed)] for number in range(count)]
    pictures = [render(draw_scene(rng, "single", (one,)), rng) for one in chosen]
    return pictures, [COMBINATIONS.index(one) for one in chosen]


def combinations(clip, allowed, count, seed=SEED):
    """Accuracy (%) of single shapes of the `allowed` combinations among all 120."""
    pictures, wanted = combination_pictures(allowed, count, seed)
    vectors = class_vectors(clip, *combination_prompts())
    return accuracy(np.argmax(embed(clip, pictures) @ vectors.T, axis=1), wanted)


def digit_pictures(per_digit=digits.TEST_PER_DIGIT, plain=False, seed=SEED):
    """The test digits, each once: pictures and class numbers.

    Args:
        per_digit: pictures a digit, at most 36.
        plain: the 8 x 8 pictures merely enlarged, white on black, instead of the recipe's scenes.
        seed: int.
    """
    rng = np.random.default_rng(seed)
    pictures, wanted = [], []
    for value in range(10):
        for index in digits.indices("test")[value][:per_digit]:
            ink = digits.load()[0][index]
            wanted.append(value)
            if plain:
                grey = np.kron(ink, np.ones((8, 8))) * 255
                pictures.append(np.repeat(grey[..., None], 3, axis=-1).astype("uint8"))
                continue
            scene = draw_scene(rng, "digit")
            thing = type(scene.things[0])(scene.things[0].colour, DIGITS[value])
            scene = Scene("digit", (thing,), scene.background, scene.style)
            pictures.append(render(scene, rng, ink))
    return pictures, wanted


def handwriting(clip, per_digit=digits.TEST_PER_DIGIT, plain=False, seed=SEED):
    """Accuracy (%) on the test digits, each once, among ten; arguments of `digit_pictures`."""
    pictures, wanted = digit_pictures(per_digit, plain, seed)
    vectors = class_vectors(clip, *digit_prompts())
    return accuracy(np.argmax(embed(clip, pictures) @ vectors.T, axis=1), wanted)


def recall(clip, count=500, seed=SEED):
    """Recall@1 (%), image to text and text to image, over `count` reserved captions."""
    pictures, captions = draw_batch(count, seed, "test", keep=reserved)
    scores = embed(clip, pictures) @ clip.embed_texts(captions, progress=False).T
    own = np.arange(count)
    return accuracy(scores.argmax(axis=1), own), accuracy(scores.argmax(axis=0), own)


def by_choice(clip, kind, choices, right, count=400, seed=SEED):
    """Accuracy (%) where every picture has its own candidate captions.

    Args:
        clip: CLIP.
        kind: scenes.KINDS.
        choices: function scene -> list of captions, equally many for every scene.
        right: function scene -> index of the true one.
    """
    rng = np.random.default_rng(seed)
    scenes = [draw_scene(rng, kind) for _ in range(count)]
    images = embed(clip, [render(scene, rng) for scene in scenes])
    texts = clip.embed_texts([c for scene in scenes for c in choices(scene)], progress=False)
    scores = np.einsum("nd,ncd->nc", images, texts.reshape(count, -1, images.shape[-1]))
    return accuracy(scores.argmax(axis=1), [right(scene) for scene in scenes])


def named(scene):
    """The names of a scene's objects, with articles."""
    return [article(f"{thing.colour} {thing.shape}") for thing in scene.things]


def relations(scene):
    """Left of, right of, above and below, of a pair."""
    first, second = named(scene)
    words = ("left of", "right of", "above", "below")
    return [f"{first} {relation} {second}" for relation in words]


def amounts(scene):
    """The same shape two to five times."""
    thing = scene.things[0]
    plural = thing.shape + ("es" if thing.shape.endswith(("s", "x")) else "s")
    return [f"{number} {thing.colour} {plural}" for number in NUMBERS]


def measure(clip):
    """Every figure of the model card, a dictionary of percentages."""
    by_image, by_text = recall(clip)
    return {
        "unseen colour-shape combinations, of 120": combinations(clip, HELD_OUT, 600),
        "seen colour-shape combinations, of 120": combinations(clip, SEEN, 648),
        "held-out handwritten digits, of 10": handwriting(clip),
        "held-out handwritten digits as they are, of 10": handwriting(clip, plain=True),
        "recall@1 image to text, 500 unseen captions": by_image,
        "recall@1 text to image, 500 unseen captions": by_text,
        "place on the page, of 9": by_choice(
            clip, "single",
            lambda scene: [f"{named(scene)[0]} {words[0]}" for words in ON_PAGE.values()],
            lambda scene: list(ON_PAGE).index(scene.place),
        ),
        "relation of two shapes, of 4": by_choice(
            clip, "pair", relations, lambda scene: 0 if scene.place == "horizontal" else 2
        ),
        "count from two to five, of 4": by_choice(
            clip, "count", amounts, lambda scene: scene.number - 2
        ),
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset", nargs="?", default=NAME, help="preset name or directory")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()

    import keras_clip

    results = measure(keras_clip.from_preset(options.preset))
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for name, value in results.items():
        print(f"| {name} | {value:.1f} % |")


if __name__ == "__main__":
    main()
