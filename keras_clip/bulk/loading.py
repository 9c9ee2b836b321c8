"""Vectors that a job has written, part by part as they are asked for."""

from pathlib import Path

import numpy as np

from keras_clip.bulk import manifest
from keras_clip.bulk.formats import read_keys, read_vectors
from keras_clip.bulk.parts import all_parts


def load(directory, partial=False):
    """Open a directory that `embed` has written: (keys, vectors).

    Args:
        directory: path.
        partial: bool. Whether a job that has not finished will do, with the parts it has.

    Returns:
        list of n str, and Vectors (n, dim), which are read when they are indexed.

    Raises:
        FileNotFoundError: no manifest is there, or a part is missing.
        ValueError: the job has not finished.
        ImportError: parquet, and pyarrow is not installed.
    """
    directory = Path(directory)
    found = manifest.read(directory)
    if found is None:
        raise FileNotFoundError(f"{directory}: no {manifest.NAME}, so no embedded pictures.")
    parts = all_parts(found["pictures"], found["part_rows"])
    done = manifest.done_parts(directory, found, parts)
    if len(done) < len(parts):
        if found["finished"]:
            lost = next(part.name for part in parts if part.number not in done)
            raise FileNotFoundError(
                f"{directory}: {lost} is missing or not whole; run `embed` again to restore it."
            )
        if not partial:
            raise ValueError(
                f"{directory}: {len(done)} of {len(parts)} parts are done; run `embed` again to "
                "finish, or load it with partial=True."
            )
    records = [done[number] for number in sorted(done)]
    keys = [key for one in records for key in read_keys(directory, list(one["files"]))]
    return keys, Vectors(directory, records, found["dim"], found["dtype"])


class Vectors:
    """An (n, dim) array that stays on the disk; slices and rows of it are NumPy arrays.

    Args:
        directory: path.
        records: list of the parts' records.
        dim: int.
        dtype: str.
    """

    ndim = 2

    def __init__(self, directory, records, dim, dtype):
        self._directory, self._files = directory, [list(one["files"]) for one in records]
        self._ends = np.cumsum([one["rows"] for one in records], dtype="int64")
        self.shape = (int(self._ends[-1]) if records else 0, dim)
        self.dtype = np.dtype(dtype)

    def __len__(self):
        return self.shape[0]

    def __repr__(self):
        return f"Vectors(shape={self.shape}, dtype={self.dtype})"

    def __array__(self, dtype=None, copy=None):
        return self[:].astype(dtype or self.dtype, copy=False)

    def __iter__(self):
        for part in self.parts():
            yield from part

    def __getitem__(self, rows):
        if isinstance(rows, (int, np.integer)):
            return self[np.array([range(len(self))[rows]])][0]
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        rows = np.arange(len(self))[rows]  # bools and negative numbers, checked
        found = np.empty((len(rows), self.shape[1]), self.dtype)
        owners = np.searchsorted(self._ends, rows, side="right")
        for number in np.unique(owners):
            mine = owners == number
            first = self._ends[number - 1] if number else 0
            found[mine] = self._part(number)[rows[mine] - first]
        return found

    def parts(self):
        """Iterate over the vectors by parts: (k, dim) arrays, one in memory at a time."""
        return map(self._part, range(len(self._files)))

    def _part(self, number):
        return read_vectors(self._directory, self._files[number], self.shape[1])
