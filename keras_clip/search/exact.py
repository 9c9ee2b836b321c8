"""Exact neighbours and near-duplicates by matrix products in blocks of bounded memory."""

import numpy as np

from keras_clip.models.batching import track

_CELLS = 1 << 24  # cosines computed at once: 64 MB
_ROWS = 2048  # of a block of near-duplicates


def nearest(vectors, queries, k):
    """The k largest cosines of each query: (n, D), (q, D) -> rows and cosines, (q, k) each.

    Best first; equal ones by their row. k is at most n.
    """
    k = min(k, len(vectors))
    step = max(1, _CELLS // max(1, len(vectors)))
    rows, cosines = [], []
    for start in range(0, len(queries), step):
        block = queries[start : start + step] @ vectors.T
        chosen = np.sort(np.argpartition(-block, k - 1, axis=1)[:, :k], axis=1)
        found = np.take_along_axis(block, chosen, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        rows.append(np.take_along_axis(chosen, order, axis=1))
        cosines.append(np.take_along_axis(found, order, axis=1))
    return np.concatenate(rows), np.concatenate(cosines)


def groups(vectors, above, progress=None):
    """Rows that pairs of a cosine of at least `above` connect: (n, D) -> list of (m,) arrays.

    Each pair is looked at once, n^2 D operations in all, and only a forest of the links is kept:
    a million copies of one picture take no more memory than a million different ones.

    Args:
        vectors: (n, D) float32, unit length.
        above: float, the smallest cosine.
        progress: bool or None. None: a bar for long work on a terminal.

    Returns:
        Groups of at least two, each sorted, the largest first.
    """
    count = len(vectors)
    labels = np.arange(count, dtype="int32")  # older SciPy joins no int64, and says nothing
    wide = _CELLS // _ROWS
    for start in track(range(0, count, _ROWS), "Comparing", progress):
        block = vectors[start : start + _ROWS]
        for left in range(start, count, wide):
            one, other = np.nonzero(block @ vectors[left : left + wide].T >= above)
            labels = _joined(labels, one + start, other + left)
    order = np.argsort(labels, kind="stable")
    found = np.split(order, np.nonzero(np.diff(labels[order]))[0] + 1)
    return sorted((group for group in found if len(group) > 1), key=len, reverse=True)


def _joined(labels, one, other):
    """Labels after some pairs of rows are linked: (n,), numbers of the connected components."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    one, other = labels[one], labels[other]
    linked = one != other
    if not linked.any():
        return labels
    ends, count = (one[linked], other[linked]), len(labels)
    graph = coo_array((np.ones(len(ends[0]), bool), ends), shape=(count, count))
    return connected_components(graph, directed=False)[1][labels]
