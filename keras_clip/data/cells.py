"""Pictures inside of parquet files, read a row group at a time, and the groups read last kept."""

import functools
import os
import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from keras_clip.data.parquet import bytes_column, import_pyarrow, unreadable
from keras_clip.data.places import file_stats
from keras_clip.preprocessing.image_files import ImageError

_KEPT = 2**28  # bytes of the row groups that are kept
_LARGEST = 2**30  # bytes of a row group, all of which one picture takes to read


class Cell(NamedTuple):
    """A picture in a parquet file: the row, from 0, of a column."""

    table: str
    column: str
    row: int

    def read(self):
        """The bytes of the picture.

        Raises:
            ImageError: the row has no picture, or the file cannot be read any more.
        """
        try:
            ends = _footer(self.table, *_stamp(self.table), self.column).ends
            group = int(np.searchsorted(ends, self.row, side="right"))
            values = _groups.get((self.table, *_stamp(self.table), self.column, group))
            found = values[self.row - int(ends[group])].as_py()  # from the group's end
        except (*unreadable(), IndexError) as error:
            raise ImageError(f"{self.table}: cannot read the table: {error}") from error
        if not found:
            raise ImageError(f"{self.table}: the row has no picture.")
        return found


class Cells:
    """Pictures in parquet files.

    Args:
        shards: list of str, the paths.
        column: str, the column of pictures.
        shard, row: (n,) arrays; rows count from 0 in each file.
    """

    def __init__(self, shards, column, shard, row):
        self.shards, self.column, self.shard, self.row = shards, column, shard, row

    def __getitem__(self, row):
        return Cell(self.shards[self.shard[row]], self.column, int(self.row[row]))

    def take(self, rows):
        """The same for some rows, in their order."""
        rows = np.asarray(rows, "int64")
        return Cells(self.shards, self.column, self.shard[rows], self.row[rows])

    def stats(self):
        """Sizes of the pictures in bytes, -1 without one, and modification times in ns of files."""
        sizes = np.empty(len(self.row), "int64")
        for number in np.unique(self.shard):
            mine = self.shard == number
            sizes[mine] = _sizes(self.shards[number], self.column)[self.row[mine]]
        return sizes, file_stats(self.shards)[1][self.shard]


def check_groups(path, column):
    """Raise a ValueError where a row group is too large to be read for one picture of it."""
    try:
        largest = max(_footer(path, *_stamp(path), column).sizes, default=0)
    except unreadable() as error:
        raise ValueError(f"{path}: not a readable parquet file: {error}") from error
    if largest > _LARGEST:
        raise ValueError(
            f"{path}: a row group has {largest:,} bytes of pictures, all of which one takes to "
            "read: write the file again with fewer rows a group, such as row_group_size=100."
        )


class _Footer(NamedTuple):
    """The end of a parquet file: its own metadata, and of each row group the end and the bytes."""

    metadata: object
    leaf: str
    ends: np.ndarray
    sizes: list


@functools.lru_cache(4096)
def _footer(path, size, time, column):
    _, parquet = import_pyarrow()
    with parquet.ParquetFile(path) as file:
        metadata, leaf = file.metadata, bytes_column(file.schema_arrow.field(column).type, column)
    groups = [metadata.row_group(k) for k in range(metadata.num_row_groups)]
    sizes = []
    for group in groups:
        chunks = [group.column(k) for k in range(group.num_columns)]
        sizes += [one.total_uncompressed_size for one in chunks if one.path_in_schema == leaf]
    return _Footer(metadata, leaf, np.cumsum([group.num_rows for group in groups]), sizes)


def _stamp(path):
    """Size and modification time: a file that is written anew is another."""
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


def _read_group(path, size, time, column, group):
    """The pictures of a row group, an array of pyarrow."""
    pyarrow, parquet = import_pyarrow()
    footer = _footer(path, size, time, column)
    with parquet.ParquetFile(path, metadata=footer.metadata) as file:
        values = file.read_row_group(group, columns=[footer.leaf])[column]
    if footer.leaf != column:
        from pyarrow import compute

        values = compute.struct_field(values, "bytes")
    return values.cast(pyarrow.large_binary())


def _sizes(path, column):
    """The length of each picture in a file, (n,) int64; -1 where there is none."""
    from pyarrow import compute

    stamp = _stamp(path)
    found = [np.empty(0, "int64")]
    for group in range(len(_footer(path, *stamp, column).ends)):
        lengths = compute.binary_length(_read_group(path, *stamp, column, group))
        found.append(compute.fill_null(lengths, -1).to_numpy())
    return np.concatenate(found)


class _Groups:
    """Row groups by what `_read_group` takes; threads that ask for one at a time wait for it."""

    def __init__(self):
        self._lock, self._found, self._bytes = threading.Lock(), OrderedDict(), 0

    def get(self, key):
        with self._lock:
            future, is_new = self._found.get(key), key not in self._found
            if is_new:
                future = self._found[key] = Future()
            self._found.move_to_end(key)
        if is_new:
            self._fill(key, future)
        return future.result()

    def _fill(self, key, future):
        try:
            values = _read_group(*key)
        except BaseException as error:
            with self._lock:
                del self._found[key]
            future.set_exception(error)
            return
        future.set_result(values)
        with self._lock:
            self._bytes += values.nbytes
            while self._bytes > _KEPT and len(self._found) > 1:
                old = next((k for k, one in self._found.items() if k != key and one.done()), None)
                if old is None:
                    break
                self._bytes -= self._found.pop(old).result().nbytes


_groups = _Groups()
