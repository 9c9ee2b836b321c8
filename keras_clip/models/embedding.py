"""Raw pictures and strings to unit vectors, in compiled batches."""

from functools import partial

import numpy as np

from keras_clip.models.batching import batches, map_rows, num_rows, run_batch, track, unit_rows
from keras_clip.models.text_lengths import cut_texts, used_lengths

_as_arrays = partial(map_rows, np.asarray)


def embed_images(tower, processor, images, batch_size=32, progress=None):
    """Embed pictures: n raw pictures -> (n, dim) float32, unit length."""
    if isinstance(images, np.ndarray) and images.ndim == 4:
        images = list(images)
    elif not isinstance(images, (list, tuple)):
        images = [images]
    return embed_rows(tower, images, batch_size, progress, processor)


def embed_rows(tower, rows, batch_size=32, progress=None, prepare=_as_arrays):
    """Embed rows for a tower: n of them -> (n, dim) float32, unit length.

    Args:
        tower: keras.Model.
        rows: array, list, or dictionary of arrays.
        batch_size: int.
        progress: bool or None. None: a bar for long work on a terminal.
        prepare: function from a slice of rows to the tower's input.
    """
    if not num_rows(rows):
        raise ValueError("There is nothing to embed: the list is empty.")
    size = min(batch_size, num_rows(rows))
    parts = track(batches(rows, size), "Embedding", progress)
    rows = np.concatenate([run_batch(tower, prepare(part), size) for part in parts])
    return unit_rows(rows.astype("float32"))


def embed_texts(tower, config, token_ids, batch_size=64, progress=None):
    """Embed tokenised texts: (n, T) int32 -> (n, dim) float32, unit length.

    The rows are sorted by length and cut; the result is the same to float32 rounding.
    """
    size = min(batch_size, len(token_ids))
    order = np.argsort(used_lengths(token_ids, config), kind="stable")
    output = np.empty((len(token_ids), config.projection_dim), "float32")
    for part in track(batches(order, size), "Embedding texts", progress):
        output[part] = run_batch(tower, cut_texts(token_ids[part], config), size)
    return unit_rows(output)
