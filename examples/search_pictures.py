"""Find the pictures of a folder that fit a sentence: `python examples/search_pictures.py`.

On your own photos: `python examples/search_pictures.py photos/ "a dog on a beach" --preset
clip_vit_base_patch32_openai`, which needs a network once.
"""

import argparse
from pathlib import Path

import numpy as np

import keras_clip
from keras_clip.catalogue import zoo_directory

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=zoo_directory() / "demo")
    parser.add_argument("query", nargs="?", default="five gray triangles")
    parser.add_argument("--top", type=int, default=3)
    parser.add_argument("--preset", default="clip_resnet_tiny_shapes")
    options = parser.parse_args(arguments)

    clip = keras_clip.from_preset(options.preset)
    paths = sorted(p for p in options.folder.iterdir() if p.suffix.lower() in SUFFIXES)
    # Compute these once and keep them (np.save); a query then costs one text and a product.
    pictures = clip.embed_images(paths)
    cosines = pictures @ clip.embed_texts(options.query)[0]
    for place in np.argsort(-cosines)[: options.top]:
        print(f"{cosines[place]:.3f}  {paths[place].name}")


if __name__ == "__main__":
    main()
