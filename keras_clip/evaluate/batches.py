"""Labelled pictures of any source, batch by batch, as a model takes them."""

from typing import NamedTuple

import keras
import numpy as np

from keras_clip.data import Pictures, decoded, open_pictures
from keras_clip.data.labels import class_numbers

_NAMES = (("images", "image", "pixels", "x"), ("labels", "label", "y"))


class LabelledBatch(NamedTuple):
    """One batch.

    Args:
        pixels: what the model takes, (k, H, W, 3) float32 or a dictionary; None where k is 0.
        labels: (k,) int64.
        errors: list of (key, reason), pictures that could not be read.
    """

    pixels: np.ndarray | dict | None
    labels: np.ndarray
    errors: list


def opened(dataset):
    """The data set itself, or the Pictures where it is what `open_pictures` takes."""
    if isinstance(dataset, (str, list, tuple)) or hasattr(dataset, "__fspath__"):
        return open_pictures(dataset)
    return dataset


def labelled_batches(dataset, processor, batch_size=32, workers=None):
    """Batches of a labelled data set.

    Args:
        dataset: Pictures with labels; or a keras.utils.PyDataset, tf.data.Dataset, grain or torch
            data set whose elements are batches: (images, labels), or a dictionary of `images` and
            `labels`. Images are normalised, float; or raw, uint8, and are then processed.
        processor: image processor of the model.
        batch_size: int. Of Pictures.
        workers: threads that decode Pictures; None: one a core.

    Yields:
        LabelledBatch.

    Raises:
        ValueError: Pictures without labels, elements of another form, or labels that are no whole
            numbers.
    """
    if isinstance(dataset, Pictures):
        if dataset.labels is None:
            raise ValueError(
                "The pictures have no labels: give a folder with one subfolder a class, a table "
                "with a column `label`, or shards with `.cls`."
            )
        for batch in decoded(dataset, processor, batch_size, workers):
            errors = [(dataset.keys[row], reason) for row, reason in batch.errors]
            yield LabelledBatch(batch.pixels, dataset.labels[batch.rows], errors)
        return
    for element in _elements(dataset):
        images, labels = (np.asarray(part) for part in _pair(element))
        if images.ndim != 4 or labels.ndim != 1 or len(images) != len(labels):
            raise ValueError(
                "The data set gives batches of images (B, H, W, 3) with labels (B,), not "
                f"{images.shape} with {labels.shape}: batch it, and decode its pictures."
            )
        pixels = processor(images) if images.dtype == np.uint8 else images
        yield LabelledBatch(pixels, class_numbers(labels), [])


def _elements(dataset):
    if isinstance(dataset, keras.utils.PyDataset):  # it has no end of its own when iterated
        return (dataset[number] for number in range(dataset.num_batches))
    return iter(dataset)


def _pair(element):
    """(images, labels) of a tuple or a dictionary."""
    if isinstance(element, dict):
        found = [[element[name] for name in names if name in element] for names in _NAMES]
        if not all(found):
            raise ValueError(f"The data set gives {sorted(element)}: it needs images and labels.")
        return [parts[0] for parts in found]
    if not isinstance(element, (tuple, list)) or len(element) < 2:
        raise ValueError(f"The data set gives {type(element).__name__}s, not (images, labels).")
    return element[0], element[1]
