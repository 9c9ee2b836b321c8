"""A tower run over many rows, batch by batch, with a progress bar."""

import numpy as np

LONG_WORK = 8  # batches; anything shorter is over before a bar has been read


def num_rows(rows):
    """How many rows a sequence, or each of a dictionary of sequences, has."""
    return len(next(iter(rows.values())) if isinstance(rows, dict) else rows)


def batches(rows, batch_size):
    """Cut a sequence, or a dictionary of them, into slices of at most `batch_size` rows."""
    if batch_size < 1:
        raise ValueError(f"batch_size is at least 1, not {batch_size}.")
    starts = range(0, num_rows(rows), batch_size)
    return [map_rows(lambda part, i=i: part[i : i + batch_size], rows) for i in starts]


def map_rows(function, rows):
    """Apply a function to a sequence, or to each of a dictionary of them."""
    if isinstance(rows, dict):
        return {name: function(part) for name, part in rows.items()}
    return function(rows)


def track(items, description, progress=None, total=None):
    """Iterate with a progress bar on standard error.

    Args:
        items: iterable of batches.
        description: str. What the bar says.
        progress: bool or None. None: only for long work on a terminal.
        total: int or None. Number of batches, where `items` does not know its length.
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items)
    if progress is False or (progress is None and total is not None and total < LONG_WORK):
        return iter(items)
    from rich.console import Console
    from rich.progress import track as rich_track

    console = Console(stderr=True)
    if progress is None and not console.is_terminal:
        return iter(items)
    return rich_track(items, description, total, console=console)


def run_batch(model, rows, batch_size):
    """Compute one batch in the compiled graph: (b, ...), or a dictionary -> (b, ...) NumPy.

    A short batch is filled up to `batch_size`, so that it needs no compilation of its own.
    """
    missing = batch_size - num_rows(rows)
    if missing:
        rows = map_rows(lambda x: np.concatenate([x, np.repeat(x[-1:], missing, axis=0)]), rows)
    output = np.asarray(model.predict_on_batch(rows))
    return output[: batch_size - missing]


def unit_rows(rows):
    """Scale rows to unit length: (n, D) float32 -> the same."""
    return rows / np.sqrt(np.maximum(np.sum(np.square(rows), axis=-1, keepdims=True), 1e-24))
