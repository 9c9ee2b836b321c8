"""Rows of features with labels, checked and read a block at a time; they may lie on disk."""

import numpy as np

from keras_clip.data.labels import class_numbers

_BLOCK_VALUES = 2**21  # 8 MB of float32: products of this size run at full speed


class Rows:
    """Some rows of an array, which are gathered only when they are read.

    Args:
        features: (n, dim) array.
        rows: (m,) int, sorted, so that a file is read from front to back.
    """

    def __init__(self, features, rows):
        self.features, self.rows = features, rows
        self.shape, self.dtype = (len(rows), features.shape[1]), features.dtype

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, part):
        return self.features[self.rows[part]]


def block_rows(width):
    """How many rows of this many values to work on at a time."""
    return min(max(_BLOCK_VALUES // width, 256), 8192)


def blocks(count, size):
    """Slices of at most `size` that cover `count` rows."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def work_dtype(features):
    """What to compute in: float64 where the features are, else float32."""
    return np.result_type(features.dtype, "float32") if features.dtype.kind == "f" else "float32"


def checked(features, labels, what):
    """Return features as an array and labels as (n,) int64, neither copied without need.

    Args:
        features: (n, dim) floats, such as a memory-mapped file.
        labels: n whole numbers.
        what: str, as which messages name them.

    Raises:
        ValueError: other shapes, no rows, values that are not finite, or labels below 0.
    """
    features = features if isinstance(features, Rows) else np.asanyarray(features)
    labels = np.asarray(labels)
    if len(features.shape) != 2 or not len(features):
        raise ValueError(f"The {what} features are (n, dim), n at least 1, not {features.shape}.")
    if labels.shape != (len(features),):
        raise ValueError(
            f"The {what} labels are one a row of features, ({len(features)},), not {labels.shape}."
        )
    labels = class_numbers(labels, f"{what} labels")
    if labels.min() < 0:
        row = int(np.argmax(labels < 0))
        raise ValueError(f"The {what} label {labels[row]} of row {row} is below 0.")
    _check_finite(features, what)
    return features, labels


def _check_finite(features, what):
    for part in blocks(len(features), block_rows(features.shape[1])):
        fine = np.isfinite(features[part]).all(axis=1)
        if not fine.all():
            row = part.start + int(np.argmin(fine))
            raise ValueError(f"The {what} features of row {row} are not finite: NaN or infinity.")


def checked_sets(train, *others):
    """Check sets of (name, features, labels) together: (K classes, [(features, labels), ...]).

    Raises:
        ValueError: as `checked`; or their widths differ, there is one class alone, or a class has
            no training example.
    """
    sets = [checked(features, labels, what) for what, features, labels in (train, *others)]
    width = sets[0][0].shape[1]
    for (what, _, _), (features, _) in zip((train, *others), sets, strict=True):
        if features.shape[1] != width:
            raise ValueError(
                f"The {what} features are {features.shape[1]} wide, those of {train[0]} {width}."
            )
    num_classes = 1 + max(int(labels.max()) for _, labels in sets)
    missing = np.flatnonzero(np.bincount(sets[0][1], minlength=num_classes) == 0)
    if missing.size:
        raise ValueError(
            f"Class {missing[0]} has no {train[0]} example: labels are 0 to {num_classes - 1}, and "
            f"each is needed there ({missing.size} missing)."
        )
    if num_classes < 2:
        raise ValueError("There is one class alone: a classifier needs two.")
    return num_classes, sets
