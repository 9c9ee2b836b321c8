"""Teach a CLIP what it does not know, with pairs: `python examples/contrastive_fit.py`.

The bundled model has never seen an arrow, nor the word. Some steps of the contrastive loss on
pictures and captions are enough for which way one points.
"""

import argparse

import keras
import numpy as np
from PIL import Image, ImageDraw

import keras_clip

WAYS = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}
CAPTIONS = [f"an arrow pointing {way}" for way in WAYS]


def arrow(way, random):
    """A picture of an arrow, (64, 64, 3) uint8."""
    page = Image.new("RGB", (64, 64), tuple(random.integers(180, 256, 3).tolist()))
    colour = tuple(random.integers(0, 120, 3).tolist())
    along = np.array(WAYS[way])
    across = along[::-1]
    centre = random.integers(26, 39, 2)
    tip, tail = centre + 15 * along, centre - 15 * along
    pen = ImageDraw.Draw(page)
    pen.line([tuple(tail.tolist()), tuple(tip.tolist())], fill=colour, width=4)
    sides = [tip - 11 * along + 10 * sign * across for sign in (1, -1)]
    head = [tuple(point.tolist()) for point in (sides[0], tip, sides[1])]
    pen.line(head, fill=colour, width=4)
    return np.asarray(page)


def accuracy(clip, pictures):
    """Share of pictures, four after four in the order of WAYS, whose caption is found."""
    cosines = clip.embed_images(pictures) @ clip.embed_texts(CAPTIONS).T
    return float(np.mean(np.argmax(cosines, axis=1) == np.arange(len(pictures)) % len(WAYS)))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--preset", default="clip_resnet_tiny_shapes")
    parser.add_argument("--output", help="directory to save the trained model to")
    options = parser.parse_args(arguments)

    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    clip = keras_clip.from_preset(options.preset)
    test = [arrow(way, random) for _ in range(25) for way in WAYS]
    before = accuracy(clip, test)

    pictures = [arrow(way, random) for _ in range(2 * options.steps) for way in WAYS]
    data = {
        "images": clip.image_processor(pictures),
        "token_ids": clip.tokenizer(CAPTIONS * 2 * options.steps),
    }
    # A batch holds every caption twice; pictures of the same caption are not told apart.
    loss = keras_clip.train.ContrastiveLoss(match_duplicates=True)
    clip.compile(keras.optimizers.AdamW(3e-4), loss)
    clip.fit(data, batch_size=2 * len(WAYS), shuffle=False, verbose=0)

    after = accuracy(clip, test)
    print(f"before: {before:.0%} of {len(test)} arrows right, after: {after:.0%}")
    if options.output:
        clip.save_to_preset(options.output)
    return before, after


if __name__ == "__main__":
    main()
