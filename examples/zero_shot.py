"""Ask a CLIP which of some labels fits each picture: `python examples/zero_shot.py`.

On your own photos: `python examples/zero_shot.py cat.jpg --labels cat dog bird --preset
clip_vit_base_patch32_openai`, which needs a network once.
"""

import argparse

import numpy as np

import keras_clip
from keras_clip.catalogue import zoo_directory

DEMO = zoo_directory() / "demo"
PICTURES = [DEMO / f"{name}.png" for name in ("blue_star", "red_arrow", "digit_seven")]
LABELS = ["a blue star", "a red arrow", "a handwritten three", "a handwritten seven"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="*", default=PICTURES)
    parser.add_argument("--labels", nargs="+", default=LABELS)
    parser.add_argument("--template", default="a photo of {}")
    parser.add_argument("--preset", default="clip_resnet_tiny_shapes")
    options = parser.parse_args(arguments)

    clip = keras_clip.from_preset(options.preset)
    # An ordinary Keras model: it can be fine-tuned, saved and exported like any other.
    classifier = clip.zero_shot_classifier(options.labels, options.template)
    pixels = clip.image_processor(list(options.images))
    for path, row in zip(options.images, classifier.predict(pixels, verbose=0), strict=True):
        best = int(np.argmax(row))
        print(f"{path}: {options.labels[best]} ({row[best]:.1%})")


if __name__ == "__main__":
    main()
