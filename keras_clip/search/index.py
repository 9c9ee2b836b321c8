"""An index of pictures on disk: kept up to date, asked for the nearest, and for near-duplicates."""

import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from keras_clip.search import exact
from keras_clip.search.changes import find_changes
from keras_clip.search.database import Database
from keras_clip.search.description import NAME, Description, root_of
from keras_clip.search.embedding import embed_into
from keras_clip.search.errors import SearchError


@dataclass(frozen=True)
class Hit:
    """A picture that was found.

    Args:
        path: str, relative to the index's root.
        cosine: float, with the query; of near-duplicates with the first of them.
        size: int, bytes.
        modified, added: datetime, when the file was written, and when it came into the index.
        width, height: int, pixels.
    """

    path: str
    cosine: float
    size: int
    modified: datetime
    width: int
    height: int
    added: datetime


class Index:
    """Pictures and their vectors in a directory; `Index.open` and `Index.create` make one.

    Args:
        directory: path.
        description: Description, what it says of itself.
    """

    def __init__(self, directory, description):
        self.directory, self.description = os.fspath(directory), description
        self.database = Database(self.directory, description.dimension)

    @classmethod
    def open(cls, directory):
        """Open an index.

        Raises:
            SearchError: there is none, or it is damaged.
        """
        return cls(directory, Description.read(directory))

    @classmethod
    def create(cls, directory, description):
        """Make an empty index.

        Args:
            directory: path, new or empty.
            description: Description of the model; `Description.of(name, vision=..., text=...)`.

        Raises:
            SearchError: the directory holds something else.
        """
        place = Path(directory)
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise SearchError(
                f"{directory}: holds something else than an index; give another name."
            )
        place.mkdir(parents=True, exist_ok=True)
        description.write(place)
        return cls(directory, description)

    @staticmethod
    def exists(directory):
        """Whether there is an index in a directory, sound or not."""
        return Path(directory, NAME).exists()

    def __len__(self):
        return self.database.count()

    @property
    def broken(self):
        """The pictures that could not be read: list of (path, reason)."""
        return self.database.reasons()

    def place(self, hit):
        """The path of a picture that was found, as long as it lies where it was indexed."""
        return os.path.join(self.description.root, hit.path)

    def changes(self, pictures):
        """What an update would do, as Changes.

        Raises:
            SearchError: the index is of pictures in another folder that is still there.
        """
        self.database.refresh()
        root, known = root_of(pictures), self.description.root
        if known and root != known and os.path.isdir(known):
            raise SearchError(
                f"{self.directory}: the index of {known}, not of {root}: give another directory. "
                "(Had the folder moved, the index would follow it.)"
            )
        found = find_changes(pictures, self.database.known())
        return replace(found, broken=self.broken, total=len(self))

    def update(self, pictures, processor, embed, batch_size=32, progress=None):
        """Embed new and changed pictures, and forget those that are gone.

        Killed at any moment, it loses at most half a minute of work: call it again.

        Args:
            pictures: Pictures, from `data.open_pictures`: all that the index is to hold.
            processor: image processor of the model.
            embed: function from what the processor makes of b pictures to (b, D) vectors of
                any length, such as `clip.get_layer("vision").predict_on_batch`.
            batch_size: int. Pictures a step.
            progress: bool or None. None: a bar for long work on a terminal.

        Returns:
            Changes, what has been done; its `broken` are counted and named, and not fatal.

        Raises:
            SearchError: the index is of another folder, is being updated by another process, or
                cannot be written.
        """
        with _alone(self.directory):
            found = self.changes(pictures)
            if root_of(pictures) != self.description.root:
                self.description = self.description.at(root_of(pictures))
                self.description.write(self.directory)
            self.database.remove(found.removed)
            if found.rows:
                part = pictures.select(found.rows)
                embed_into(self.database, part, processor, embed, batch_size, progress)
            if found.rows or found.removed:
                self.database.tidy()
            return replace(found, broken=self.broken, total=len(self))

    def search(self, vectors, k=10, where=None):
        """Find the pictures nearest to some queries: (q, D) -> q lists of at most k Hits.

        Args:
            vectors: (q, D) array of any lengths but zero; `combine` makes one of several.
            k: int.
            where: str or None. Only pictures of which this holds, in SQL: `size > 100000 and path
                like 'holiday/%'`; columns are the fields of a Hit but `cosine`.

        Raises:
            SearchError: the queries do not fit, the filter is wrong, or the index damaged.
        """
        queries = _checked_queries(vectors, self.description.dimension)
        if k < 1:
            raise SearchError(f"k is at least 1, not {k}.")
        self.database.refresh()
        self.database.check_filter(where)
        ids, cosines = self.database.nearest(queries, k, where)
        rows = iter(self.database.rows(np.concatenate(ids)))
        return [[Hit(cosine=float(c), **next(rows)) for c in found] for found in cosines]

    def duplicates(self, above=0.97, where=None, progress=None):
        """Find near-duplicates: groups in which pairs of a cosine of at least `above` connect all.

        Every pair is compared, at any size, so that the time grows with the square of their number;
        all vectors are in memory (4 D bytes a picture).

        Args:
            above: float, the smallest cosine.
            where: as of `search`.
            progress: bool or None. None: a bar for long work on a terminal.

        Returns:
            List of lists of Hits, the largest group first; a Hit's cosine is that with the first
            of its group, by path.
        """
        if not -1 <= above <= 1:
            raise SearchError(f"A cosine is between -1 and 1, not {above}.")
        self.database.refresh()
        self.database.check_filter(where)
        ids, vectors = self.database.vectors(where)
        found = []
        for group in exact.groups(vectors, above, progress):
            rows = self.database.rows(ids[group])
            order = sorted(range(len(rows)), key=lambda k, rows=rows: rows[k]["path"])
            cosines = vectors[group] @ vectors[group[order[0]]]
            found.append([Hit(cosine=float(cosines[k]), **rows[k]) for k in order])
        return found


def _checked_queries(vectors, dimension):
    queries = np.asarray(vectors, "float32")
    if queries.ndim != 2 or queries.shape[1] != dimension:
        raise SearchError(f"A query is a row of (q, {dimension}) numbers, not {queries.shape}.")
    lengths = np.linalg.norm(queries, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise SearchError("A query has no direction: its vector is zero or not finite.")
    return queries / lengths


@contextmanager
def _alone(directory):
    """Keep other processes from updating the same index."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(os.path.join(directory, ".lock"), timeout=0):
            yield
    except Timeout as error:
        raise SearchError(f"{directory}: another process is updating this index.") from error
