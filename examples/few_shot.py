"""How many examples does a new task need? `python examples/few_shot.py`.

A probe learns from 1, 2, 4, 8 and 16 arrows to each side which way they point. On your own
pictures, two folders with one subfolder a class: `--train photos/ --test others/`.
"""

import argparse

from fine_tune_vit import drawn_pictures

import keras_clip
from keras_clip import evaluate
from keras_clip.models.features import feature_model


def drawn_features(clip, count, seed):
    """Features of pictures that are drawn here, and their classes."""
    pictures, classes = drawn_pictures(count, seed)
    return feature_model(clip).predict(clip.image_processor(pictures), verbose=0), classes


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", help="folder with one subfolder a class, 20 pictures in each")
    parser.add_argument("--test", help="another, of the same classes")
    parser.add_argument("--preset", default="clip_resnet_tiny_shapes")
    options = parser.parse_args(arguments)

    clip = keras_clip.from_preset(options.preset)
    if options.train:
        sets = [evaluate.features(clip, source)[:2] for source in (options.train, options.test)]
    else:
        sets = [drawn_features(clip, 120, seed=0), drawn_features(clip, 200, seed=1)]
    for method in ("probe", "nearest_mean"):
        found = evaluate.few_shot(*sets[0], *sets[1], method=method)
        print(method)
        for shots, mean, deviation in zip(found.shots, found.mean, found.deviation, strict=True):
            print(f"  {shots:2} a class: {mean:6.1%} +- {deviation:.1%}")


if __name__ == "__main__":
    main()
