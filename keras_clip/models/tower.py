"""Functional models of one input and one output, as every tower and classifier here is."""

import keras
import numpy as np

from keras_clip.models.base import Base
from keras_clip.models.batching import batches, run_batch, track


@keras.saving.register_keras_serializable(package="keras_clip")
class Tower(Base, keras.Model):
    """A Functional model whose `predict` on an array takes no longer than its batches.

    Keras's own `predict` on TensorFlow feeds every batch through tf.data, which was seen to cost a
    quarter of the time of a ViT-B/32; everywhere else, and for datasets, this is Keras's own.
    """

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Run on rows in batches of 32 or `batch_size`, as Keras's `predict`, NumPy out."""
        plain = isinstance(x, np.ndarray) and len(x) and steps is None and not callbacks
        if keras.backend.backend() != "tensorflow" or not plain:
            return super().predict(x, batch_size, verbose, steps, callbacks)
        size = min(batch_size or 32, len(x))
        parts = track(batches(x, size), "Predicting", None if verbose == "auto" else bool(verbose))
        return np.concatenate([run_batch(self, part, size) for part in parts])


def make_tower(inputs, outputs, name):
    """Make a Tower that leaves it to its layers to be rematerialised."""
    with keras.RematScope(mode=None):
        return Tower(inputs, outputs, name=name)
