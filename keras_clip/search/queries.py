"""Several texts and pictures as one query."""

import numpy as np

from keras_clip.models.batching import unit_rows
from keras_clip.search.errors import SearchError

_NOTHING = 1e-3  # a sum of unit vectors this short is rounding, or nearly so


def combine(vectors, weights=None):
    """Add vectors up to one query: (m, D) -> (D,) float32, unit length.

    Args:
        vectors: (m, D) array, of unit length each: what `embed_texts` and `embed_images` give.
        weights: (m,) numbers, negative for what is not wanted; None: 1 each.

    Raises:
        SearchError: nothing is left of them, or a number is not finite.
    """
    vectors = np.atleast_2d(np.asarray(vectors, "float32"))
    weights = np.ones(len(vectors)) if weights is None else np.asarray(weights, "float64")
    if weights.shape != (len(vectors),):
        raise SearchError(f"{len(vectors)} parts of a query, but weights of shape {weights.shape}.")
    total = weights @ vectors
    if not np.linalg.norm(total) > _NOTHING * np.abs(weights).sum():
        raise SearchError("The parts of the query cancel each other out: nothing is left to find.")
    return unit_rows(total[None])[0].astype("float32")
