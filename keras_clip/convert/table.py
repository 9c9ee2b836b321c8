"""The table engine: rows of (source name, target path, transform), read and written alike."""

import math
import mmap
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from keras_clip.convert.differences import check, matches, message
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.tensors import BFLOAT16
from keras_clip.convert.transforms import SAME, Transform

# One thread waits for the disk or widens while the other transposes; more hold more memory.
_WORKERS = 2
_ALIGNMENT = 64
_OWN_PAGES_BYTES = 2**20


@dataclass(frozen=True)
class Row:
    """A tensor of a file, the weight it fills, and how."""

    source: str
    target: str
    transform: Transform = SAME


@dataclass(frozen=True)
class Table:
    """Everything in a checkpoint of one dialect.

    Args:
        rows: Rows, one for every tensor that is used.
        ignore: patterns (`*` matches anything) of tensors that are known not to be weights.
        float32: patterns of tensors that are stored in float32 whatever dtype is asked for.
    """

    rows: tuple
    ignore: tuple = ()
    float32: tuple = ()

    def __post_init__(self):
        for target, rows in _grouped(self.rows, "target").items():
            found = [(row.transform.piece or (0, 1))[:2] for row in rows]
            if sorted(found) != [(k, len(found)) for k in range(len(found))]:
                raise ValueError(f"The rows of {target} do not fill it exactly once: {found}.")
        for source, rows in _grouped(self.rows, "source").items():
            found = sorted(row.transform.share or (0, 1, 1) for row in rows)
            stops = [0, *(stop for _, stop, _ in found)]
            if [(start, n) for start, _, n in found] != [(stop, stops[-1]) for stop in stops[:-1]]:
                raise ValueError(f"Rows of the same source {source} do not use it once: {found}.")

    def without(self, *prefixes):
        """Return a table that leaves the weights under these prefixes as they are."""
        dropped = [row for row in self.rows if row.target.startswith(prefixes)]
        kept = tuple(row for row in self.rows if not row.target.startswith(prefixes))
        ignore = (*self.ignore, *(row.source for row in dropped))
        return Table(kept, ignore, self.float32)

    def inside(self, prefix):
        """Return the table of the weights under a prefix alone, which their names then lack."""
        kept = [row for row in self.rows if row.target.startswith(prefix)]
        rows = tuple(Row(r.source, r.target.removeprefix(prefix), r.transform) for r in kept)
        dropped = (row.source for row in self.rows if row not in kept)
        return Table(rows, (*self.ignore, *dropped), self.float32)


def under(rows, source="", target=""):
    """Return the rows with prefixes before their names: `visual.` in the file, `vision/` here."""
    return tuple(Row(source + row.source, target + row.target, row.transform) for row in rows)


def over_layers(rows, source, target, num_layers):
    """Return a block's rows once a layer; both prefixes hold `{i}`."""
    return tuple(
        made
        for i in range(num_layers)
        for made in under(rows, source.format(i=i), target.format(i=i))
    )


def read(table, checkpoint, weights, adapt=None):
    """Fill every weight from a checkpoint, or none: names and shapes are checked before.

    A few weights are held at a time, so memory peaks at the model and its largest weights.

    Args:
        table: Table.
        checkpoint: mapping of names to tensors with `shape` and `read()` (see `open_checkpoint`),
            or to arrays.
        weights: {target name: variable with `shape`, `dtype` and `assign`}.
        adapt: {target name: (shape in the file's place, function)} for weights that the file
            holds in another shape, such as resampled positions; or None.

    Raises:
        CheckpointError: tensors are left over (`+`), missing (`-`) or of a wrong shape (`!`);
            or hold NaN or infinity, which is found only after the weights are filled.
    """
    adapt = adapt or {}
    shapes = {name: tuple(variable.shape) for name, variable in weights.items()}
    shapes.update({name: tuple(shape) for name, (shape, _) in adapt.items()})
    check(table, checkpoint, shapes)
    wrong, pending = [], deque()

    def settle():
        target, values, damaged = pending.popleft()
        wrong.extend(damaged.result())
        weights[target].assign(adapt[target][1](values) if target in adapt else values)

    with ThreadPoolExecutor(_WORKERS) as pool:
        for target, rows in _grouped(table.rows, "target").items():
            values = _aligned(shapes[target], weights[target].dtype)
            pending.append((target, values, pool.submit(_fill, values, checkpoint, rows)))
            if len(pending) > _WORKERS:
                settle()
        while pending:
            settle()
    if wrong:
        wrong = [("?", name, "holds NaN or infinity") for name in dict.fromkeys(wrong)]
        raise CheckpointError(message(checkpoint, wrong, "these weights are damaged"))


def _fill(values, checkpoint, rows):
    """Fill one weight from its rows' tensors; return the names of those that are damaged."""
    damaged = []
    for row in rows:
        row.transform.read(_stored(checkpoint[row.source], row.transform), values)
        if not _is_finite(values[row.transform.place(values.shape)]):
            damaged.append(row.source)
    return damaged


def _stored(tensor, transform):
    """What the file holds for one row; of a tensor that rows share, no more than that is read."""
    lazy = hasattr(tensor, "read")
    if not transform.share:
        return tensor.read() if lazy else tensor
    start, stop = transform.file_rows(tensor.shape)
    return tensor.read((start, stop)) if lazy else tensor[start:stop]


def _aligned(shape, dtype):
    """An array whose memory JAX takes over without a copy; NumPy's own starts anywhere."""
    dtype = np.dtype("float64" if str(dtype) == "float64" else "float32")
    size = math.prod(shape) * dtype.itemsize
    if size >= _OWN_PAGES_BYTES and hasattr(mmap, "MAP_ANONYMOUS"):
        # On the heap, weights that TensorFlow has copied leave holes: 1.9x the model at the peak.
        pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        return np.frombuffer(pages, dtype).reshape(shape)
    memory = np.empty(size + _ALIGNMENT, "uint8")
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def write(table, weights, dtype=None):
    """Return the tensors of a file: {name: function that makes the array}, for the writers.

    Args:
        table: Table.
        weights: {target name: array, or function that gives one}.
        dtype: str. Type to store, except for the table's `float32` tensors; None: as they are.

    Raises:
        CheckpointError: weights for which the layout has no place, or that it needs and are not
            there.
    """
    targets = {row.target for row in table.rows}
    lines = [f"+ {name}: the layout has no place for it" for name in sorted(set(weights) - targets)]
    lines += [f"- {name}: the layout needs it" for name in sorted(targets - set(weights))]
    if lines:
        listed = "".join(f"\n  {line}" for line in lines)
        raise CheckpointError(f"The model does not fit this layout:{listed}")
    grouped = _grouped(table.rows, "source")
    return {
        source: partial(_written, source, rows, weights, table.float32, dtype)
        for source, rows in grouped.items()
    }


def _written(source, rows, weights, float32, dtype):
    shares = []
    for row in sorted(rows, key=lambda row: row.transform.share or ()):
        weight = weights[row.target]
        shares.append(row.transform.write(np.asarray(weight() if callable(weight) else weight)))
    values = np.concatenate(shares) if len(shares) > 1 else shares[0]
    if dtype is None:
        return values
    fixed = matches(source, float32)
    return values.astype("float32" if fixed else _dtype(dtype), copy=False)


def _dtype(name):
    return BFLOAT16 if name == "bfloat16" else np.dtype(name)


def _grouped(rows, name):
    """{source or target: its rows}."""
    grouped = {}
    for row in rows:
        grouped.setdefault(getattr(row, name), []).append(row)
    return grouped


def _is_finite(values):
    # A sum is far cheaper than a mask; it overflows only where a closer look is due.
    with np.errstate(all="ignore"):
        return bool(np.isfinite(values.sum())) or bool(np.isfinite(values).all())
