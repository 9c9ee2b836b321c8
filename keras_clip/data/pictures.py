"""Many pictures by their keys, with labels and captions where they have any."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from keras_clip.data.cells import Cell
from keras_clip.data.labels import numbers_among
from keras_clip.data.left_out import LeftOut
from keras_clip.data.places import Files, Member, check_regular

_CHUNK = 65536  # keys hashed at a time


@dataclass(frozen=True)
class Picture:
    """One picture.

    Args:
        key: str, its name among the others.
        label: str, the name of its class; or int where classes have no names; or None.
        captions: tuple of str.
        place: path, the member of a tar shard, or the cell of a parquet file.
    """

    key: str
    label: str | int | None
    captions: tuple[str, ...]
    place: str | Member | Cell

    def read(self):
        """What an image processor takes: the path, or bytes.

        Raises:
            ImageError: it is a pipe or the like; or it lies in a shard that cannot be read.
        """
        if isinstance(self.place, str):
            check_regular(self.place)
            return self.place
        return self.place.read()


class Pictures:
    """A sequence of n pictures, kept as columns; `open_pictures` makes it.

    Args:
        keys: list of n str, all different.
        places: Files, Members or Cells.
        labels: (n,) int64 or None.
        class_names: list of str that labels are numbers of, or None.
        captions: Captions, MemberCaptions, FileCaptions or None.
        templates: list of str with `{}` that came with the data set, or None.
        left_out: LeftOut, what the source holds beside them; None: nothing.
    """

    def __init__(
        self, keys, places, labels=None, class_names=None, captions=None, templates=None,
        left_out=None,
    ):  # fmt: skip
        self.keys, self.places, self.labels = keys, places, labels
        self.class_names, self.captions, self.templates = class_names, captions, templates
        self.left_out = LeftOut() if left_out is None else left_out

    def __len__(self):
        return len(self.keys)

    def __repr__(self):
        return f"Pictures({len(self)} of them)"

    def __getitem__(self, row):
        if isinstance(row, slice):
            return self.select(range(*row.indices(len(self))))
        row = range(len(self))[row]
        captions = self.captions[row] if self.captions else ()
        return Picture(self.keys[row], self.label(row), captions, self.places[row])

    def label(self, row):
        """The label of one picture: the name of its class, a number without a name, or None."""
        if self.labels is None:
            return None
        number = int(self.labels[row])
        return self.class_names[number] if self.class_names else number

    def read(self, row):
        """As `pictures[row].read()`, without a look at the captions."""
        return Picture(self.keys[row], None, (), self.places[row]).read()

    def select(self, rows):
        """Some of the pictures, in the order of `rows`."""
        return Pictures(
            [self.keys[row] for row in rows],
            self.places.take(rows),
            None if self.labels is None else self.labels[np.asarray(rows, "int64")],
            self.class_names,
            self.captions and self.captions.take(rows),
            self.templates,
            self.left_out,
        )

    def with_classes(self, names, whose="labels", by_order=False, by_value=False):
        """The same with labels as numbers of other names; see `labels.numbers_among`.

        Raises:
            ValueError: a class is not among the names; the message says which.
        """
        labels = numbers_among(self.labels, self.class_names, names, whose, by_order, by_value)
        return Pictures(
            self.keys, self.places, labels, names and list(names), self.captions, self.templates,
            self.left_out,
        )  # fmt: skip

    @property
    def in_shards(self):
        """Whether they lie in tar shards or tables, and have no paths of their own."""
        return not isinstance(self.places, Files)

    @property
    def paths(self):
        """The path of each picture, list of str.

        Raises:
            ValueError: they lie in tar shards or tables and have none.
        """
        if self.in_shards:
            raise ValueError(
                "Pictures inside of tar shards and tables have no paths of their own: unpack them."
            )
        return [self.places[row] for row in range(len(self))]

    def stats(self):
        """Sizes in bytes and modification times in ns, (n,) int64 each; -1 for what is missing."""
        return self.places.stats()

    @cached_property
    def fingerprint(self):
        """Hex digest of keys, sizes and modification times, of labels and captions too."""
        digest = hashlib.sha256()
        for start in range(0, len(self), _CHUNK):
            digest.update("".join(f"{k}\0" for k in self.keys[start : start + _CHUNK]).encode())
        for column in self.stats():
            digest.update(np.ascontiguousarray(column).tobytes())
        if self.labels is not None:
            digest.update(self.labels.tobytes())
            digest.update(repr(self.class_names).encode())
        if self.captions is not None:
            digest.update(self.captions.to_bytes())
        return digest.hexdigest()
