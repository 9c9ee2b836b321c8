"""Classification by the nearest training examples."""

from dataclasses import dataclass

import numpy as np

from keras_clip.evaluate import metrics
from keras_clip.evaluate.feature_rows import block_rows, blocks, checked_sets
from keras_clip.models.batching import track, unit_rows

_QUERIES = 512  # test rows at a time


@dataclass(frozen=True)
class Neighbors:
    """How good the nearest neighbours' votes are.

    Args:
        accuracy: share of the test examples that are right, 0 to 1.
        mean_per_class: mean over the classes of the share that is right.
        predictions: (m,) int64.
    """

    accuracy: float
    mean_per_class: float
    predictions: np.ndarray


def knn(
    train_features, train_labels, test_features, test_labels,
    k=20, temperature=0.07, progress=None,
):  # fmt: skip
    """Classify by the k training examples of the largest cosine, which vote: Neighbors.

    Both sets are read a block at a time and may be memory-mapped. Of classes with equal votes the
    first is taken.

    Args:
        train_features: (n, dim) array.
        train_labels: (n,) int, classes 0 to K - 1, each with an example.
        test_features: (m, dim) array.
        test_labels: (m,) int, of the same classes.
        k: int, at most n.
        temperature: float; a neighbour's vote is exp(cosine / temperature). None: one vote each.
        progress: bool or None. None: a bar for long work on a terminal.

    Raises:
        ValueError: as `linear_probe`; or k is below 1 or above n.

    Reference: "Emerging Properties in Self-Supervised Vision Transformers" (arXiv 2104.14294),
    k-NN classification.
    """
    num_classes, (train, test) = checked_sets(
        ("training", train_features, train_labels), ("test", test_features, test_labels)
    )
    if not 1 <= k <= len(train[1]):
        raise ValueError(f"k is from 1 to the {len(train[1])} training examples, not {k}.")
    found = []
    for part in track(blocks(len(test[1]), _QUERIES), "Neighbours", progress):
        cosines, labels = _nearest(unit_rows(_float32(test[0][part])), *train, k)
        votes = np.ones_like(cosines)
        if temperature is not None:
            # Less the best cosine, so that no vote overflows; the order of the sums stays.
            votes = np.exp((cosines - cosines.max(axis=1, keepdims=True)) / temperature)
        cells = np.arange(len(cosines))[:, None] * num_classes + labels
        sums = np.bincount(cells.ravel(), votes.ravel(), len(cosines) * num_classes)
        found.append(sums.reshape(-1, num_classes).argmax(axis=1))
    predictions = np.concatenate(found)
    confusion = metrics.confusion_matrix(test[1], predictions, num_classes)
    right = float(np.mean(predictions == test[1]))
    return Neighbors(right, metrics.mean_per_class(confusion), predictions)


def _nearest(queries, features, labels, k):
    """The k largest cosines of each query, in any order, and their labels: (q, k) each."""
    cosines = np.empty((len(queries), 0), "float32")
    classes = np.empty((len(queries), 0), "int64")
    for part in blocks(len(labels), block_rows(features.shape[1])):
        found = queries @ unit_rows(_float32(features[part])).T
        kept = _largest(found, k)
        cosines = np.concatenate([cosines, np.take_along_axis(found, kept, axis=1)], axis=1)
        classes = np.concatenate([classes, labels[part][kept]], axis=1)
        kept = _largest(cosines, k)
        cosines, classes = (np.take_along_axis(x, kept, axis=1) for x in (cosines, classes))
    return cosines, classes


def _largest(values, k):
    """Where the k largest of each row are, or all: (q, n) -> (q, at most k)."""
    k = min(k, values.shape[1])
    return np.argpartition(values, values.shape[1] - k, axis=1)[:, values.shape[1] - k :]


def _float32(rows):
    return rows.astype("float32", copy=False)
