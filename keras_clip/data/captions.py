"""The captions of many pictures in a few arrays, or where they lie: tar shards, text files."""

import json
import os
from array import array

import numpy as np

from keras_clip.data.places import Files, read_bytes


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


class MemberCaptions:
    """Captions that stay in tar shards until they are asked for.

    Args:
        shards: list of str, the paths.
        shard, offset, size: (n,) arrays, where each sample's text lies; -1 bytes: it has none.
        is_json: (n,) bool; the caption is then the entry `caption` of JSON, else a line each.
    """

    def __init__(self, shards, shard, offset, size, is_json):
        self.shards, self.shard, self.offset = shards, shard, offset
        self.size, self.is_json = size, is_json

    def __getitem__(self, row):
        size = int(self.size[row])
        if size < 0:
            return ()
        shard = self.shards[self.shard[row]]
        text = read_bytes(shard, int(self.offset[row]), size)
        if self.is_json[row]:
            return _json_captions(text, shard)
        return _lines(text)

    def take(self, rows):
        """The same for some rows, in their order."""
        rows = np.asarray(rows, "int64")
        columns = (self.shard, self.offset, self.size, self.is_json)
        return MemberCaptions(self.shards, *(column[rows] for column in columns))

    def to_bytes(self):
        """What a fingerprint is made from; the shards' own times tell of a change."""
        return self.offset.tobytes() + self.size.tobytes()


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
        with open(text_name(self.files[row]), "rb") as file:
            return _lines(file.read())

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


def _lines(text):
    lines = (line.strip() for line in text.decode("utf-8-sig", "replace").split("\n"))
    return tuple(line for line in lines if line)


def _json_captions(text, shard):
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{shard}: a sample's .json is not JSON: {error}.") from error
    caption = found.get("caption") if isinstance(found, dict) else None
    if isinstance(caption, list):
        return tuple(map(str, caption))
    return (str(caption),) if caption else ()
