"""Where pictures lie, as columns: files by their names, members of tar shards by their offsets."""

import os
import stat
from typing import NamedTuple

import numpy as np

from keras_clip.data.unpacked import is_packed, unpacked
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
        return file_stats(self[row] for row in range(len(self.names)))


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
        return self.size, file_stats(self.shards)[1][self.shard]


def check_regular(path):
    """Raise an ImageError for what would block whoever opens it, such as a pipe, or is a folder.

    What is missing shows when it is opened.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(mode):
        raise ImageError("no regular file.")


def file_stats(paths):
    """Sizes in bytes and modification times in ns, (n,) int64 each; -1 for what is missing."""
    flat = np.fromiter((value for path in paths for value in _stat(path)), "int64")
    return flat[::2], flat[1::2]


def read_bytes(path, offset, size):
    """Some bytes of a file, or of what is packed in one by gzip."""
    if is_packed(path):
        return unpacked(path).read(offset, size)
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(size)


def _stat(path):
    try:
        found = os.stat(path)
    except OSError:
        return _MISSING
    return found.st_size, found.st_mtime_ns


def distinct_names(paths):
    """What each file is called in keys: its name, or as much of its path as tells it from others.

    Raises:
        ValueError: a file comes twice.
    """
    if len(paths) == 1:
        return [os.path.basename(paths[0])]
    check_once(paths, "file")
    folder = common_folder(paths)
    return [os.path.relpath(path, folder).replace(os.sep, "/") for path in paths]


def check_once(paths, what):
    """Raise a ValueError where a path comes twice."""
    if len(set(paths)) < len(paths):
        seen = set()
        twice = next(path for path in paths if path in seen or seen.add(path))
        raise ValueError(f"{twice}: the {what} is in the list twice.")


def common_folder(paths):
    """The folder of a file, or the innermost one that all of several are in."""
    if len(paths) == 1:
        return os.path.dirname(paths[0])
    return os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])
