"""Captions in tar shards, which stay there until they are asked for."""

import numpy as np

from keras_clip.data.captions import caption_texts, lines
from keras_clip.data.json_lines import json_object
from keras_clip.data.places import read_bytes

_LOOKED_AT = 100  # samples, until a field is said to be missing


class MemberCaptions:
    """Captions of the samples of tar shards, in a member with a line each, or in fields of JSON.

    Args:
        shards: list of str, the paths.
        shard, offset, size: (n,) arrays, where each sample's text lies; -1 bytes: it has none.
        is_json: (n,) bool.
        fields: tuple of str; each holds a caption or a list of captions.
    """

    def __init__(self, shards, shard, offset, size, is_json, fields):
        self.shards, self.shard, self.offset = shards, shard, offset
        self.size, self.is_json, self.fields = size, is_json, fields

    def __getitem__(self, row):
        if self.size[row] < 0:
            return ()
        try:
            if not self.is_json[row]:
                return lines(self._text(row))
            found = json_object(self._text(row))
            return tuple(text for name in self.fields for text in caption_texts(found.get(name)))
        except ValueError as error:
            kind = "json" if self.is_json[row] else "text"
            shard = self.shards[self.shard[row]]
            raise ValueError(f"{shard}: a sample's {kind}: {error}.") from error

    def _text(self, row):
        shard = self.shards[self.shard[row]]
        return read_bytes(shard, int(self.offset[row]), int(self.size[row]))

    def check_fields(self):
        """Raise a ValueError where none of the first samples has a field."""
        known = {}
        for row in np.flatnonzero(self.is_json & (self.size >= 0))[:_LOOKED_AT]:
            try:
                known.update(json_object(self._text(row)))
            except ValueError:  # that sample is broken, and named when its turn comes
                continue
        missing = [name for name in self.fields if name not in known]
        if missing and not (~self.is_json & (self.size >= 0)).any():
            raise ValueError(
                f"{self.shards[0]}: no sample has a member .{missing[0]}, or {missing[0]!r} in its "
                f".json; there are {sorted(known)}."
            )

    def take(self, rows):
        """The same for some rows, in their order."""
        rows = np.asarray(rows, "int64")
        columns = (self.shard, self.offset, self.size, self.is_json)
        return MemberCaptions(self.shards, *(column[rows] for column in columns), self.fields)

    def to_bytes(self):
        """What a fingerprint is made from; the shards' own times tell of a change."""
        return repr(self.fields).encode() + self.offset.tobytes() + self.size.tobytes()
