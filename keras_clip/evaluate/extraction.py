"""Features of a labelled data set, as probes take them."""

from typing import NamedTuple

import numpy as np

from keras_clip.data import Pictures
from keras_clip.evaluate.batches import labelled_batches, opened
from keras_clip.models.batching import run_batch, track
from keras_clip.models.features import feature_model


class Features(NamedTuple):
    """Features of the pictures that could be read, in their order.

    Args:
        features: (n, D) float32.
        labels: (n,) int64.
        failures: list of (key, reason), the pictures that could not be read.
    """

    features: np.ndarray
    labels: np.ndarray
    failures: list


def features(model, dataset, batch_size=32, progress=None):
    """Compute the features of labelled pictures, before the projection or head: Features.

    Args:
        model: CLIP, its image tower, or a ViT (see `feature_model`).
        dataset: what `keras_clip.data.open_pictures` takes, or has made; or a Keras, tf.data, grain
            or torch data set of batches, see `labelled_batches`.
        batch_size: int. Pictures a step.
        progress: bool or None. None: a bar for long work on a terminal.

    Raises:
        ValueError: pictures without labels, or none that can be read.
    """
    dataset = opened(dataset)
    total = -(-len(dataset) // batch_size) if isinstance(dataset, Pictures) else None
    tower, parts, labels, failures = feature_model(model), [], [], []
    batches = labelled_batches(dataset, model.image_processor, batch_size)
    for batch in track(batches, "Features", progress, total):
        failures += batch.errors
        if len(batch.labels):
            size = max(batch_size, len(batch.labels))
            parts.append(run_batch(tower, batch.pixels, size).astype("float32"))
            labels.append(batch.labels)
    if not parts:
        first = " The first, {}: {}".format(*failures[0]) if failures else ""
        raise ValueError(f"No picture of the data set can be read.{first}")
    return Features(np.concatenate(parts), np.concatenate(labels), failures)
