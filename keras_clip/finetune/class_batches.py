"""Batches of labelled pictures in another order each epoch, in the form that a loss takes."""

import warnings

import keras
import numpy as np


class ClassBatches(keras.utils.PyDataset):
    """Examples as a Keras data set: ceil(n / batch_size) batches an epoch.

    The order is a function of the seed and the epoch alone, and so are augmentation and prompts.

    Args:
        examples: Examples.
        batch_size: int.
        seed: int.
        shuffle: bool.
        form: function (pixels, labels (k,) int64, np.random.Generator) -> what `fit` takes; None:
            (pixels, labels).
        drop_last: bool. Whether a last batch that is not full is left out.
    """

    def __init__(self, examples, batch_size, seed=0, shuffle=True, form=None, drop_last=False):
        # Two threads decode ahead; layers that mix pictures are not made for threads.
        ahead = 2 if examples.processor is not None and getattr(form, "layer", None) is None else 1
        super().__init__(workers=ahead, max_queue_size=4)
        if batch_size < 1:
            raise ValueError(f"batch_size is at least 1, not {batch_size}.")
        self.examples, self.batch_size, self.seed, self.shuffle = (
            examples,
            batch_size,
            seed,
            shuffle,
        )
        self.form, self.drop_last, self.epoch = form, drop_last, 0
        self._order()

    def __len__(self):
        whole, rest = divmod(len(self.examples), self.batch_size)
        return whole if self.drop_last or not rest else whole + 1

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        seed = [self.seed, self.epoch]
        pixels, rows = self.examples.read(rows, seed)
        labels = self.examples.labels[rows]
        if self.form is None:
            return pixels, labels
        return self.form(pixels, labels, np.random.default_rng([*seed, index]))

    def on_epoch_end(self):
        self.epoch += 1
        self._order()

    def _order(self):
        self.order = np.arange(len(self.examples))
        if self.shuffle:
            self.order = np.random.default_rng([self.seed, self.epoch]).permutation(self.order)


class OneHot:
    """The form with labels as shares, (k, K) float32.

    Args:
        num_classes: int, K.
        layer: keras.layers.MixUp, CutMix or any that takes {"images", "labels"} and returns such;
            or None.
    """

    def __init__(self, num_classes, layer=None):
        self.num_classes, self.layer = num_classes, layer

    def __call__(self, pixels, labels, random):
        shares = np.eye(self.num_classes, dtype="float32")[labels]
        if self.layer is None:
            return pixels, shares
        with warnings.catch_warnings():
            # Keras's MixUp asks for int64, which JAX has not, and does well without.
            warnings.filterwarnings("ignore", "Explicitly requested dtype int64")
            mixed = self.layer({"images": pixels, "labels": shares}, training=True)
        return tuple(keras.ops.convert_to_numpy(mixed[name]) for name in ("images", "labels"))


class Prompted:
    """The form of contrastive training: each picture with one of the sentences of its class.

    Args:
        token_ids: list of K arrays (sentences, T) int32.
    """

    def __init__(self, token_ids):
        self.token_ids = token_ids

    def __call__(self, pixels, labels, random):
        rows = [self.token_ids[label] for label in labels]
        texts = np.stack([one[random.integers(len(one))] for one in rows])
        return {"images": pixels, "token_ids": texts}, labels
