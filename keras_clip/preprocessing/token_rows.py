"""Rows of equal length from token lists: start, text, end, padding."""

from itertools import chain

import numpy as np


def pack_rows(encoded, length, start, end, pad):
    """Pack n lists of token ids -> (n, length) int32, cut where they are too long.

    Args:
        encoded: n lists of ids without start and end.
        length: tokens in a row, at least 2.
        start: id in the first place of every row.
        end: id after every text, in the last place of a row that is cut.
        pad: id after the end.

    Returns:
        (n, length) int32 NumPy array.
    """
    encoded = [ids[: length - 2] if len(ids) > length - 2 else ids for ids in encoded]
    lengths = np.fromiter(map(len, encoded), dtype="int64", count=len(encoded))
    # One scatter for all rows: an assignment per row would cost more than the merging.
    inside = np.zeros((len(encoded), length), dtype=bool)
    inside[:, 1:] = np.arange(length - 1) < lengths[:, None]
    rows = np.full((len(encoded), length), pad, dtype="int32")
    rows[inside] = np.fromiter(chain.from_iterable(encoded), "int32", int(lengths.sum()))
    rows[:, 0] = start
    rows[np.arange(len(encoded)), lengths + 1] = end
    return rows
