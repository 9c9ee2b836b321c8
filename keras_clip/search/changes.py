"""What differs between pictures and what an index knows of them."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Changes:
    """What an update does, or would do.

    Args:
        added, changed: rows of the pictures to embed: new ones, and those of another size or time.
        removed: list of str, paths that are known and gone.
        unchanged: int.
        broken: list of (path, reason), all broken pictures that the index knows of.
        total: int, pictures that can be found.
    """

    added: list = field(default_factory=list)
    changed: list = field(default_factory=list)
    removed: list = field(default_factory=list)
    unchanged: int = 0
    broken: list = field(default_factory=list)
    total: int = 0

    @property
    def rows(self):
        """The rows of the pictures to embed, sorted."""
        return sorted(self.added + self.changed)


def find_changes(pictures, known):
    """Compare pictures with what is known: by path, size and modification time.

    Args:
        pictures: Pictures.
        known: paths, sizes in bytes, modification times in microseconds, (n,) arrays each.
    """
    stamps = dict(zip(known[0], zip(known[1], known[2], strict=True), strict=True))
    added, changed = [], []
    for row, (key, size, time) in enumerate(zip(pictures.keys, *stamps_of(pictures), strict=True)):
        stamp = stamps.pop(key, None)
        if stamp is None:
            added.append(row)
        elif stamp != (size, time):
            changed.append(row)
    unchanged = len(pictures) - len(added) - len(changed)
    return Changes(added, changed, sorted(stamps), unchanged)


def stamps_of(pictures):
    """Sizes in bytes and modification times in microseconds: (n,) int64 each."""
    sizes, times = pictures.stats()
    return sizes, np.asarray(times) // 1000
