"""Class vectors of many sentences, kept on disk: minutes of work, a few megabytes."""

import hashlib
import io
import json

import numpy as np

from keras_clip.cache import cache_directory
from keras_clip.models.weights_hash import weights_hash
from keras_clip.preprocessing.atomic_file import write_bytes

FEWEST = 256  # sentences; below, hashing the weights takes longer than embedding them


def cached(text, token_ids, starts, embed):
    """Return the class vectors of these tokens under these weights, made or kept: (K, dim) float32.

    Args:
        text: the text tower.
        token_ids: (n, T) int32.
        starts: (K,) int, where each class begins among the rows.
        embed: function without arguments that makes them.
    """
    if len(token_ids) < FEWEST:
        return embed()
    path = cache_directory() / "class_vectors" / f"{_key(text, token_ids, starts)}.npy"
    shape = (len(starts), text.config.projection_dim)
    kept = _read(path, shape)
    if kept is not None:
        return kept
    vectors = embed().astype("float32")
    file = io.BytesIO()
    np.save(file, vectors)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, file.getvalue())
    except (
        OSError
    ):  # a full or read-only disk costs the next call its time, not this one its answer
        pass
    return vectors


def _key(text, token_ids, starts):
    settings = [text.config.to_dict(), text.dtype_policy.name, weights_hash(text)]
    digest = hashlib.sha256(json.dumps([*settings, token_ids.shape], sort_keys=True).encode())
    digest.update(np.ascontiguousarray(token_ids).tobytes())
    digest.update(np.asarray(starts, "int64").tobytes())
    return digest.hexdigest()[:32]


def _read(path, shape):
    """The array, or None where there is none that is whole."""
    try:
        kept = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return kept if kept.shape == shape and kept.dtype == np.float32 else None
