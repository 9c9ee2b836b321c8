"""The captions of many pictures in a few arrays, or in text files; and what is a caption."""

import os
from array import array

import numpy as np

from keras_clip.data.places import Files
from keras_clip.preprocessing.image_files import ImageError

_MISSING = frozenset(["", "None", "null", "NULL", "nan", "NaN", "<NA>"])


class Captions:
    """Texts of n pictures, any number each: the bytes of all in a row, and where each begins.

    Args:
        text: bytes, all captions in UTF-8.
        ends: (m,) int64, where each of them ends in `text`.
        order: (m,) int64, the captions sorted by picture.
        first, last: (n,) int64, each picture's range of `order`.
    """

    def __init__(self, text, ends, order, first, last):
        self.text, self.ends, self.order, self.first, self.last = text, ends, order, first, last

    def __getitem__(self, row):
        return tuple(self._caption(k) for k in self.order[self.first[row] : self.last[row]])

    def _caption(self, number):
        begin = self.ends[number - 1] if number else 0
        return self.text[begin : self.ends[number]].decode()

    def take(self, rows):
        """The same for some rows, in their order."""
        rows = np.asarray(rows, "int64")
        return Captions(self.text, self.ends, self.order, self.first[rows], self.last[rows])

    def to_bytes(self):
        """What a fingerprint is made from."""
        return b"".join([self.text, *(a.tobytes() for a in (self.ends, self.first, self.last))])


class CaptionsBuilder:
    """Collects captions in any order of their pictures."""

    def __init__(self):
        self.text, self.ends, self.rows = bytearray(), array("q"), array("q")

    def add(self, row, captions):
        """Add the captions of a row, a list of str."""
        for caption in captions:
            self.text += caption.encode()
            self.ends.append(len(self.text))
            self.rows.append(row)

    def build(self, count):
        """The Captions of `count` pictures."""
        rows = np.array(self.rows, "int64")
        order = np.argsort(rows, kind="stable")
        bounds = np.searchsorted(rows[order], np.arange(count + 1))
        ends = np.array(self.ends, "int64")
        return Captions(bytes(self.text), ends, order, bounds[:-1], bounds[1:])


class FileCaptions:
    """Captions in text files beside the pictures, `NAME.txt`, a line each.

    Args:
        files: Files, the pictures.
        known: (n,) bool, which of them have a text file.
    """

    def __init__(self, files, known):
        self.files, self.known = files, known

    def __getitem__(self, row):
        if not self.known[row]:
            return ()
        path = text_name(self.files[row])
        with open(path, "rb") as file:
            try:
                return lines(file.read())
            except ValueError as error:
                raise ValueError(f"{path}: {error}.") from error

    def take(self, rows):
        """The same for some rows, in their order."""
        return FileCaptions(self.files.take(rows), self.known[np.asarray(rows, "int64")])

    def to_bytes(self):
        """What a fingerprint is made from: sizes and modification times of the text files."""
        names = [text_name(self.files.names[row]) for row in np.flatnonzero(self.known)]
        columns = Files(self.files.root, names).stats()
        return b"".join([self.known.tobytes(), *(column.tobytes() for column in columns)])


def text_name(name):
    """What the text file beside a picture is called."""
    return os.path.splitext(name)[0] + ".txt"


def read_captions(pictures, row):
    """The captions of a picture, at least one of them: a tuple of str.

    Raises:
        ImageError: it has none, or they cannot be read; the message is the reason alone.
    """
    try:
        found = pictures.captions[row]
    except (OSError, ValueError) as error:
        raise ImageError(f"its captions cannot be read: {error}") from error
    if not found:
        raise ImageError("it has no caption")
    return found


def lines(text):
    """The captions in a text file, a line each.

    Raises:
        ValueError: it is not UTF-8.
    """
    found = (line.strip() for line in text.decode("utf-8-sig").split("\n"))
    return tuple(line for line in found if not _is_missing(line))


def caption_texts(value):
    """The captions in a value of a table or of JSON, a text or a list of texts: a list of str.

    What says nothing is none: null, NaN, blanks, and these spelt out by a program that wrote it.

    Raises:
        ValueError: something else than text.
    """
    values = value if isinstance(value, list) else [value]
    found = [one for one in values if not _is_missing(one)]
    for one in found:
        if not isinstance(one, str):
            raise ValueError(f"a caption is text, not {one!r}"[:200])
        one.encode()  # half a surrogate pair is no text
    return found


def _is_missing(value):
    if isinstance(value, str):
        return value.strip() in _MISSING
    return value is None or value != value  # NaN
