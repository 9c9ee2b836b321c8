"""Raw pictures and strings to unit vectors, in compiled batches."""

from functools import partial

import numpy as np

from keras_clip.models.batching import batches, map_rows, num_rows, run_batch, track, unit_rows

# Lengths that texts are cut to; each is compiled once.
BUCKETS = (8, 12, 16, 24, 32, 48, 64)

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

    Under a causal mask nothing behind the end of a text reaches its embedding, so the rows are
    sorted by length and cut; the result is the same to float32 rounding.
    """
    size = min(batch_size, len(token_ids))
    lengths = _used_lengths(token_ids, config)
    order = np.argsort(lengths, kind="stable")
    output = np.empty((len(token_ids), config.projection_dim), "float32")
    for part in track(batches(order, size), "Embedding texts", progress):
        cut = _bucket(lengths[part].max(), token_ids.shape[1])
        output[part] = run_batch(tower, token_ids[part][:, :cut], size)
    return unit_rows(output)


def _used_lengths(token_ids, config):
    if not config.causal or config.pooling == "last":
        return np.full(len(token_ids), token_ids.shape[1])
    if config.pooling == "highest_id":
        return np.argmax(token_ids, axis=1) + 1
    return np.argmax(token_ids == config.end_token_id, axis=1) + 1


def _bucket(length, longest):
    return next((b for b in BUCKETS if length <= b < longest), longest)
