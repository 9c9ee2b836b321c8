"""Fine-tune a classifier with mixed pictures: `python examples/fine_tune_mixup.py`.

MixUp, CutMix and label smoothing are Keras's own; any Keras classifier takes them so, a ViT too. On
your own pictures, a folder with one subfolder a class: `--pictures photos/`.
"""

import argparse
import warnings

import keras
import numpy as np
from fine_tune_vit import drawn_pictures, folder_pictures

import keras_clip
from keras_clip import finetune


class Mixed(keras.utils.PyDataset):
    """Batches of pictures and one-hot classes through layers that mix both."""

    def __init__(self, images, classes, layers, batch_size=32, seed=0):
        super().__init__()
        self.images, self.layers, self.batch_size = images, layers, batch_size
        self.shares = np.eye(int(classes.max()) + 1, dtype="float32")[classes]
        self.random = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self):
        return -(-len(self.order) // self.batch_size)

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        batch = {"images": self.images[rows], "labels": self.shares[rows]}
        for layer in self.layers:
            batch = layer(batch, training=True)
        return tuple(keras.ops.convert_to_numpy(batch[key]) for key in ("images", "labels"))

    def on_epoch_end(self):
        self.order = self.random.permutation(len(self.images))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", help="folder with one subfolder a class")
    parser.add_argument("--preset", default="clip_resnet_tiny_shapes", help="a CLIP")
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args(arguments)

    warnings.filterwarnings("ignore", "Explicitly requested dtype int64")  # of MixUp, by JAX
    keras.utils.set_random_seed(0)
    pictures, classes = (
        folder_pictures(options.pictures) if options.pictures else drawn_pictures(160)
    )
    names = [f"class {k}" for k in range(int(classes.max()) + 1)]
    clip = keras_clip.from_preset(options.preset)
    # Logits, not probabilities: after a softmax, a very wrong picture has no gradient.
    model = clip.zero_shot_classifier(names, "{}", activation=None)
    finetune.full(model)  # all but the statistics of batch norms
    order = np.random.default_rng(0).permutation(len(classes))
    pixels, classes = clip.image_processor([pictures[k] for k in order]), classes[order]
    held_out = len(classes) // 4
    layers = [keras.layers.MixUp(alpha=0.2, seed=0), keras.layers.CutMix(seed=0)]
    model.compile(
        keras.optimizers.AdamW(3e-4, clipnorm=1.0),
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
    )
    model.fit(
        Mixed(pixels[held_out:], classes[held_out:], layers), epochs=options.epochs, verbose=0
    )
    answers = model.predict(pixels[:held_out], verbose=0).argmax(axis=1)
    accuracy = float(np.mean(answers == classes[:held_out]))
    print(f"{accuracy:.1%} of {held_out} held-out pictures are right")
    return accuracy


if __name__ == "__main__":
    main()
