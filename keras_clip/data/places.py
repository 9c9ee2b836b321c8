"""Where pictures lie, as columns: files by their names, members of tar shards by their offsets."""

import os
from typing import NamedTuple

import numpy as np

from keras_clip.preprocessing.image_files import ImageError

SUFFIXES = frozenset(
    ".avif .bmp .gif .jfif .jpeg .jpg .jpe .png .ppm .pgm .pbm .tif .tiff .webp".split()
)
_MISSING = (-1, -1)


class Member(NamedTuple):
    """A picture inside a tar shard: `size` bytes from `offset`; -1 bytes: there is none."""

    shard: str
    offset: int
    size: int

    def read(self):
        """The bytes of the picture.

        Raises:
            ImageError: the sample has no picture, or the shard cannot be read any more.
        """
        if self.size < 0:
            raise ImageError(f"{self.shard}: the sample has no picture among its members.")
        try:
            return read_bytes(self.shard, self.offset, self.size)
        except OSError as error:
            reason = error.strerror or error
            raise ImageError(f"{self.shard}: cannot read the shard: {reason}.") from error


class Files:
    """Pictures in files of their own.

    Args:
        root: str, the folder that relative names start from; empty for the current one.
        names: list of str.
    """

    def __init__(self, root, names):
        self.root, self.names = root, names

    def __getitem__(self, row):
        return os.path.join(self.root, self.names[row])

    def take(self, rows):
        """The same for some rows, in their order."""
        return Files(self.root, [self.names[row] for row in rows])

    def stats(self):
        """Sizes in bytes and modification times in ns, (n,) int64 each; -1 for what is missing."""
        return _columns(_stat(self[row]) for row in range(len(self.names)))


class Members:
    """Pictures in tar shards.

    Args:
        shards: list of str, the paths.
        shard, offset, size: (n,) arrays; -1 as the size of a sample without a picture.
    """

    def __init__(self, shards, shard, offset, size):
        self.shards, self.shard, self.offset, self.size = shards, shard, offset, size

    def __getitem__(self, row):
        return Member(self.shards[self.shard[row]], int(self.offset[row]), int(self.size[row]))

    def take(self, rows):
        """The same for some rows, in their order."""
        rows = np.asarray(rows, "int64")
        return Members(self.shards, self.shard[rows], self.offset[rows], self.size[rows])

    def stats(self):
        """Sizes of the members in bytes, and modification times in ns of their shards."""
        _, times = _columns(map(_stat, self.shards))
        return self.size, times[self.shard]


def read_bytes(path, offset, size):
    """Some bytes of a file."""
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(size)


def _stat(path):
    try:
        found = os.stat(path)
    except OSError:
        return _MISSING
    return found.st_size, found.st_mtime_ns


def _columns(pairs):
    flat = np.fromiter((value for pair in pairs for value in pair), "int64")
    return flat[::2], flat[1::2]
