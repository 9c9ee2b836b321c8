"""Train a linear head on a CLIP's features: `python examples/linear_probe.py`.

Which way does an arrow point? The head goes back on the model as a Keras classifier. On your own
pictures, two folders with one subfolder a class: `--train photos/ --test others/`.
"""

import argparse

import numpy as np
from fine_tune_vit import drawn_pictures

import keras_clip
from keras_clip import evaluate
from keras_clip.models.features import feature_model


def drawn_features(clip, count, seed):
    """Features of pictures that are drawn here, their classes, and their pixels."""
    pictures, classes = drawn_pictures(count, seed)
    pixels = clip.image_processor(pictures)
    return feature_model(clip).predict(pixels, verbose=0), classes, pixels


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", help="folder with one subfolder a class")
    parser.add_argument("--test", help="another, of the same classes")
    parser.add_argument("--preset", default="clip_resnet_tiny_shapes")
    options = parser.parse_args(arguments)

    clip = keras_clip.from_preset(options.preset)
    if options.train:
        train, test = (evaluate.features(clip, source) for source in (options.train, options.test))
    else:
        train, test = drawn_features(clip, 300, seed=0), drawn_features(clip, 200, seed=1)
    # The C of the logistic regression is searched as in the CLIP paper.
    probe = evaluate.linear_probe(*train[:2], *test[:2])
    print(f"linear probe: {probe.accuracy:.1%} of {len(test[1])} test pictures, C = {probe.C:.3g}")
    neighbours = evaluate.knn(*train[:2], *test[:2], k=5)
    print(f"5 nearest neighbours: {neighbours.accuracy:.1%}")

    classifier = probe.classifier(clip)  # pixels -> probabilities: fit, save and export it
    if not options.train:
        right = np.mean(classifier.predict(test[2], verbose=0).argmax(axis=1) == test[1])
        print(f"the same head as a Keras classifier: {right:.1%}")


if __name__ == "__main__":
    main()
