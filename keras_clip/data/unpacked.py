"""Any bytes of what gzip has packed, without all those before them."""

import functools
import os
import threading
import zlib
from bisect import bisect_right

_SPACING = 2**21  # plain bytes from one mark to the next, of which each keeps 40 kB
_CHUNK = 2**16
_GZIP = 31  # what zlib calls a gzip header and a window of 32 kB

_lock = threading.Lock()


def is_packed(path):
    """Whether a path is that of a packed tar shard."""
    return path.lower().endswith((".gz", ".tgz"))


def unpacked(path):
    """The Unpacked of a file, which is made once.

    Raises:
        OSError: it cannot be read, or is no whole gzip file.
    """
    found = os.stat(path)
    with _lock:  # which several threads would make at a time
        return _made(path, found.st_size, found.st_mtime_ns)


class Unpacked:
    """The bytes that are packed in a gzip file.

    Args:
        path: str.

    Attributes:
        size: int, how many there are.

    Raises:
        OSError: as `unpacked`.
    """

    def __init__(self, path):
        self.path, self.size = path, 0
        self._starts, self._marks = [0], [(0, zlib.decompressobj(_GZIP))]
        for data, place, inflator in self._inflate(0, zlib.decompressobj(_GZIP)):
            self.size += len(data)
            if inflator is not None and self.size - self._starts[-1] >= _SPACING:
                self._starts.append(self.size)
                self._marks.append((place, inflator.copy()))

    def read(self, offset, size):
        """Some of the bytes."""
        mark = bisect_right(self._starts, offset) - 1
        skip, found = offset - self._starts[mark], bytearray()
        place, inflator = self._marks[mark]
        for data, _, _ in self._inflate(place, inflator.copy()):
            found += data
            if len(found) >= skip + size:
                break
        return bytes(found[skip : skip + size])

    def _inflate(self, place, inflator):
        """Yield bytes with the place in the file and the inflator that go on from there, or None.

        A gzip file may have several parts, each with a header of its own.
        """
        is_open = place > 0
        try:
            with open(self.path, "rb") as file:
                file.seek(place)
                while rest := file.read(_CHUNK):
                    place += len(rest)
                    while rest:
                        is_open, data = True, inflator.decompress(rest)
                        rest = b""
                        if inflator.eof:
                            rest = inflator.unused_data.lstrip(b"\0")
                            is_open, inflator = False, zlib.decompressobj(_GZIP)
                        yield data, place, None if rest else inflator
        except zlib.error as error:
            raise OSError(f"damaged gzip data: {error}") from error
        if is_open:
            raise OSError("the gzip file is cut short")


@functools.lru_cache(None)
def _made(path, size, time):
    return Unpacked(path)
