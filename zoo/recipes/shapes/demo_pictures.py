"""Write the pictures of the demo, none of which the model has seen: zoo/demo."""

import io
import json
from pathlib import Path

import digits
import numpy as np
from grammar import article, describe, reserved
from PIL import Image
from render import render
from scenes import COMBINATIONS, DIGITS, draw_scene

FOLDER = Path(__file__).parents[2] / "demo"
SIDE = 128
SEED = 77
MAX_BYTES = 9_000  # of one picture: seeds of noisy, large files are passed over
HANDWRITTEN = ("three", "eight", "zero", "five", "two", "seven")
# Combinations that no training picture shows and no caption names.
UNSEEN = (
    ("blue", "star"), ("pink", "diamond"), ("red", "arrow"),
    ("green", "triangle"), ("orange", "heart"), ("purple", "square"),
)  # fmt: skip
SCENES = ("pair", "count", "pair", "single", "pair", "count")


def handwriting(value, rng):
    """A held-out digit as its writer left it, dark on white: a grey picture."""
    ink = np.pad(digits.ink(value, rng, "test"), 2)
    paper = Image.fromarray((255 * (1 - ink)).astype("uint8"))
    return paper.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def small(draw, rng):
    """The first picture that `draw` gives whose file is small: (what it says, bytes)."""
    while True:
        said, pixels = draw(rng)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", optimize=True)
        if file.tell() <= MAX_BYTES:
            return said, file.getvalue()


def shape(combination):
    """A function that draws one shape of a combination, anywhere, in any size."""

    def draw(rng):
        scene = draw_scene(rng, "single", (combination,))
        return article(" ".join(combination)), render(scene, rng, size=SIDE)

    return draw


def scene(kind):
    """A function that draws a scene together with a caption that training never used."""

    def draw(rng):
        while True:
            drawn = draw_scene(rng, kind)
            caption, _ = describe(drawn, rng, detail=0.5)
            if reserved(caption):
                return caption.rstrip("."), render(drawn, rng, size=SIDE)

    return draw


def main():
    rng = np.random.default_rng(SEED)
    FOLDER.mkdir(exist_ok=True)
    pictures, scenes = [], []
    for word in HANDWRITTEN:
        name = f"digit_{word}.png"
        handwriting(DIGITS.index(word), rng).save(FOLDER / name, optimize=True)
        pictures.append({"file": name, "truth": f"a handwritten {word}"})
    for combination in UNSEEN:
        name = "_".join(combination) + ".png"
        truth, data = small(shape(combination), rng)
        (FOLDER / name).write_bytes(data)
        pictures.append({"file": name, "truth": truth})
    for number, kind in enumerate(SCENES, 1):
        name = f"scene_{number}.png"
        caption, data = small(scene(kind), rng)
        (FOLDER / name).write_bytes(data)
        scenes.append({"file": name, "caption": caption})
    labels = [article(" ".join(pair)) for pair in COMBINATIONS]
    labels += [f"a handwritten {word}" for word in DIGITS]
    described = {
        "templates": ["{}", "a photo of {}", "a picture of {}"],
        "pictures": pictures,
        "scenes": scenes,
        "labels": labels,
    }
    (FOLDER / "demo.json").write_text(json.dumps(described, indent=1) + "\n")
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    print(f"wrote {FOLDER}, {size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
