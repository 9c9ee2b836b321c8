"""Train a classifier of your own on a pretrained transformer: `python examples/fine_tune_vit.py`.

A pretrained image tower stays as it is up to one of its layers; a transformer block from
`keras_clip.layers` and a head are new. On your own pictures, a folder with one subfolder a class:
`--pictures photos/`.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from PIL import Image, ImageDraw

import keras_clip


def drawn_pictures(count, seed=0):
    """Pictures of arrows and their classes: 0 points to the left, 1 to the right."""
    random = np.random.default_rng(seed)
    pictures, classes = [], random.integers(0, 2, count)
    for right in classes:
        page = Image.new("RGB", (64, 64), tuple(random.integers(180, 256, 3).tolist()))
        x, y = random.integers(24, 40, 2)
        way = 14 if right else -14
        colour = tuple(random.integers(0, 120, 3).tolist())
        pen = ImageDraw.Draw(page)
        pen.line([(x - way, y), (x + way, y)], fill=colour, width=4)
        pen.line([(x, y - 10), (x + way, y), (x, y + 10)], fill=colour, width=4)
        pictures.append(np.asarray(page))
    return pictures, classes


def folder_pictures(folder):
    """The pictures of a folder with one subfolder a class, and their classes."""
    names = sorted(path for path in Path(folder).iterdir() if path.is_dir())
    pairs = [(path, k) for k, name in enumerate(names) for path in sorted(name.iterdir())]
    return [path for path, _ in pairs], np.array([k for _, k in pairs])


def build(tower, layer, num_classes):
    """A tower up to a layer that gives tokens, frozen, with a block and a head on top."""
    features = keras.Model(tower.input, tower.get_layer(layer).output)
    features.trainable = False
    x = features(tower.input)  # (B, tokens, width)
    x = keras_clip.layers.TransformerEncoderBlock(num_heads=2, mlp_dim=256, name="own_block")(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(tower.input, keras.layers.Dense(num_classes, name="own_head")(x))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", help="folder with one subfolder a class")
    parser.add_argument("--preset", default="clip_resnet_tiny_shapes", help="a CLIP")
    parser.add_argument("--layer", default="position_embedding", help="of a ViT, such as block_8")
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args(arguments)

    keras.utils.set_random_seed(0)
    pictures, classes = (
        folder_pictures(options.pictures) if options.pictures else drawn_pictures(240)
    )
    clip = keras_clip.from_preset(options.preset)
    model = build(clip.get_layer("vision"), options.layer, int(classes.max()) + 1)
    model.compile(
        "adam",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    order = np.random.default_rng(0).permutation(len(classes))
    pixels, classes = clip.image_processor([pictures[k] for k in order]), classes[order]
    held_out = len(classes) // 4
    model.fit(
        pixels[held_out:], classes[held_out:], batch_size=30, epochs=options.epochs, verbose=0
    )  # fmt: skip
    _, accuracy = model.evaluate(pixels[:held_out], classes[:held_out], verbose=0)
    print(f"{accuracy:.1%} of {held_out} held-out pictures are right")
    return accuracy


if __name__ == "__main__":
    main()
