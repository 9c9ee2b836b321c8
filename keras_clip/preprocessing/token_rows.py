"""Texts checked before they are tokenized, and token lists packed into rows of equal length."""

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


def checked_length(length):
    """The context length as an int; ValueError where it cannot be one."""
    if isinstance(length, bool) or not isinstance(length, (int, np.integer)) or length < 2:
        raise ValueError(f"context_length must be a whole number of at least 2, got {length!r}.")
    return int(length)


def refuse_long(texts, encoded, length, around=2):
    """Raise ValueError for the first text that does not fit in a row with `around` more tokens."""
    for number, (text, ids) in enumerate(zip(texts, encoded, strict=True)):
        if len(ids) > length - around:
            raise ValueError(
                f"Text {number} is too long: {len(ids) + around} tokens with start and end, at "
                f"most {length} fit. Shorten it or pass truncate=True. Text: {text[:100]!r}"
            )


def checked_texts(texts):
    """One string or a list of strings -> list of strings; TypeError or ValueError otherwise."""
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, (list, tuple, np.ndarray)):
        raise TypeError(f"Expected a string or a list of strings, got {type(texts).__name__}.")
    texts = list(texts)
    if not texts:
        raise ValueError("Expected at least one text, got an empty list.")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"Expected strings, but text {number} is a {type(text).__name__}.")
    return texts
