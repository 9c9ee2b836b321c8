"""Labelled pictures to fine-tune on, read when they are needed."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from keras_clip.data import Pictures, open_pictures
from keras_clip.data.labels import class_numbers
from keras_clip.models.batching import map_rows, num_rows
from keras_clip.preprocessing.image_files import ImageError
from keras_clip.preprocessing.images import core_count


@dataclass
class Examples:
    """n pictures and their classes.

    Args:
        source: Pictures; or (n, H, W, 3) float32, normalised, or a dictionary of arrays.
        labels: (n,) int64.
        class_names: tuple of str or None.
        processor: image processor of the model, for Pictures.
        augmentation: keras_clip.preprocessing.Augmentation or None, for Pictures.

    Attributes:
        failures: {key: reason} of the pictures that could not be read so far.
    """

    source: object
    labels: np.ndarray
    class_names: tuple | None = None
    processor: object = None
    augmentation: object = None
    failures: dict = field(default_factory=dict)

    def __len__(self):
        return len(self.labels)

    def read(self, rows, seed):
        """Pixels of some rows, and the rows of those that could be read.

        Args:
            rows: (k,) int64.
            seed: list of int, which augmentation is drawn from, together with the row.

        Raises:
            ValueError: none of them can be read.
        """
        if not isinstance(self.source, Pictures):
            return map_rows(lambda x: x[rows], self.source), rows
        with ThreadPoolExecutor(core_count()) as pool:
            parts = list(pool.map(lambda row: self._picture(row, seed), rows.tolist()))
        good = [place for place, part in enumerate(parts) if part is not None]
        if not good:
            key, reason = next(iter(self.failures.items()))
            raise ValueError(f"No picture of a batch can be read. {key}: {reason}")
        parts = [parts[place] for place in good]
        if isinstance(parts[0], dict):
            pixels = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        else:
            pixels = np.concatenate(parts)
        return pixels, rows[good]

    def _picture(self, row, seed):
        """One picture as the model takes it, (1, H, W, 3); None: it cannot be read."""
        name = None
        try:
            source = self.source.read(row)
            name = source if isinstance(source, str) else "The image bytes"
            if self.augmentation is None:
                return self.processor([source])
            random = np.random.default_rng([*seed, row])
            return self.augmentation(source, self.processor.config, random)[None]
        except ImageError as error:
            self.failures[self.source.keys[row]] = str(error).removeprefix(f"{name}: ")
            return None


def examples(data, processor=None, class_names=None, augmentation=None):
    """Make Examples of labelled pictures or arrays.

    Args:
        data: Examples, which are returned; what `keras_clip.data.open_pictures` takes, or has made,
            with labels; or (x, y): normalised float pixels, or raw uint8 ones, (n, H, W, 3), or a
            dictionary of arrays, and (n,) int.
        processor: image processor of the model, such as `clip.image_processor`.
        class_names: names of the model's classes; those of pictures meet them by name or number.
        augmentation: keras_clip.preprocessing.Augmentation or None, for pictures.

    Returns:
        Examples, or None: the data is something else, such as a data set of Keras.

    Raises:
        ValueError: there are no labels, or they do not fit.
    """
    if data is None or isinstance(data, Examples):
        return data
    if _is_source(data):
        data = open_pictures(data)
    if isinstance(data, Pictures):
        return _of_pictures(data, processor, class_names, augmentation)
    if isinstance(data, tuple) and len(data) == 2 and (
        isinstance(data[0], dict) or hasattr(data[0], "shape")
    ):  # fmt: skip
        return _of_arrays(*data, processor, class_names)
    return None


def _is_source(data):
    """Whether this is a path, or a list or tuple of paths."""
    if isinstance(data, (list, tuple)):
        return bool(data) and all(isinstance(part, (str, os.PathLike)) for part in data)
    return isinstance(data, (str, os.PathLike))


def _of_pictures(pictures, processor, class_names, augmentation):
    if pictures.labels is None:
        raise ValueError(
            "The pictures have no labels: give a folder with one subfolder a class, a table with a "
            "column `label`, or shards with `.cls`."
        )
    if processor is None:
        raise ValueError(
            "This model does not know how pictures become pixels: give "
            "processor=clip.image_processor of the CLIP that it was made of."
        )
    if class_names:
        pictures = pictures.with_classes(class_names, "classes of the model", by_value=True)
    names = pictures.class_names and tuple(pictures.class_names)
    return Examples(pictures, pictures.labels, names, processor, augmentation)


def _of_arrays(x, y, processor, class_names):
    y = class_numbers(y)
    if y.ndim != 1 or num_rows(x) != len(y):
        raise ValueError(
            f"The labels of {num_rows(x)} pictures are as many class numbers, not {y.shape}."
        )
    if not len(y) or y.min() < 0:
        raise ValueError("There is nothing to learn: no pictures, or a class number below 0.")
    if not isinstance(x, dict) and np.asarray(x).dtype == np.uint8:
        if processor is None:
            raise ValueError("Raw uint8 pictures need processor=clip.image_processor.")
        x = processor(x)
    return Examples(x, y, tuple(class_names) if class_names else None)
