"""Vectors and what they belong to, kept by LanceDB in a directory."""

import os
from contextlib import contextmanager
from datetime import timedelta

import numpy as np

from keras_clip.search import exact
from keras_clip.search.columns import as_table, schemas
from keras_clip.search.errors import told

EXACT_BELOW = 100_000  # rows; up to here every vector is compared
_BITS = 5  # a number of a vector in the index: fewer lose too much, more take longer
_REFINED = 5  # times k rows are compared exactly behind the index
_OLD = timedelta(milliseconds=1)  # versions beyond it go: a query is over sooner or asks again
_NAMED = 5_000  # paths in one filter
_FILES = 20  # more make queries slow, fewer would be joined anew for every new picture
_WAITING = 10_000  # rows beside the index of vectors, which each query compares one by one
_EVERY = 100_000  # partitions are looked at: all, so that recall needs no clusters in the data
_DAMAGED = "Is it damaged? Delete it and index the pictures again."
_UNWRITTEN = "Is the disk full? What was saved is safe, and the same command goes on from there."


class Database:
    """The tables `pictures` and `broken` of an index. No path is ever in both.

    Args:
        directory: path of the index.
        dimension: int, numbers a vector.

    Raises:
        ImportError: LanceDB is not installed.
        SearchError: the tables cannot be read.
    """

    def __init__(self, directory, dimension):
        self.directory, self.dimension, self._kept = directory, dimension, (None, None)
        columns = schemas(dimension)
        with self._reading():
            database = _lancedb().connect(directory)
            self.pictures, self.broken = (
                database.create_table(name, schema=schema, exist_ok=True)
                for name, schema in columns.items()
            )
            if self.pictures.schema != columns["pictures"]:
                raise ValueError(f"its columns are {self.pictures.schema.names}")

    def refresh(self):
        """See what other processes have written since."""
        with self._reading():
            self.pictures.checkout_latest()
            self.broken.checkout_latest()

    def count(self):
        """How many pictures there are."""
        with self._reading():
            return self.pictures.count_rows()

    def known(self):
        """(path, size, microseconds) of every picture and of every broken one: (n, ) arrays."""
        with self._reading():
            parts = [_stats(table) for table in (self.pictures, self.broken)]
        return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))

    def reasons(self):
        """The broken pictures: list of (path, reason), by path."""
        with self._reading():
            found = _query(self.broken).select(["path", "reason"]).to_arrow()
        return sorted(zip(*(found[name].to_pylist() for name in found.column_names), strict=True))

    def replace(self, good, bad):
        """Commit some pictures, instead of what was known under their paths.

        Killed in between, a path may be in neither table, and is then taken for new: nothing else.

        Args:
            good, bad: list of dictionaries with the columns of `pictures` and of `broken`.
        """
        with self._writing():
            _delete(self.broken, [row["path"] for row in good + bad])
            if good:
                with self._read_back([row["path"] for row in good]):
                    update = self.pictures.merge_insert("path").when_matched_update_all()
                    update.when_not_matched_insert_all().execute(
                        as_table(good, self.pictures.schema)
                    )
            _delete(self.pictures, [row["path"] for row in bad])
            if bad:
                self.broken.add(as_table(bad, self.broken.schema))

    @contextmanager
    def _read_back(self, paths=None):
        """Undo what is written inside unless these pictures, or all, can be read afterwards.

        A write that a quota cuts short has been seen to pass for a whole one.
        """
        before = self.pictures.version
        yield
        try:
            names = [None] if paths is None else _in_parts(paths)
            found = sum(
                batch.num_rows
                for where in names
                for batch in _query(self.pictures, where).select(["vector"]).to_batches()
            )
            wanted = self.pictures.count_rows() if paths is None else len(paths)
            if found != wanted:
                raise OSError(f"{found} of {wanted} pictures could be read back")
        except Exception:
            self.pictures.restore(before)
            raise

    def remove(self, paths):
        """Forget some pictures."""
        with self._writing():
            for table in (self.pictures, self.broken):
                _delete(table, paths)

    def tidy(self):
        """Index the vectors where they are many; join files and drop old versions now and then."""
        with self._writing():
            indexed = self.pictures.list_indices()
            if not indexed and self.pictures.count_rows() >= EXACT_BELOW:
                self.pictures.create_index("vector", config=_index_kind())
            waiting = [self.pictures.index_stats(i.name).num_unindexed_rows for i in indexed]
            files = self.pictures.stats()["fragment_stats"]["num_fragments"]
            if files > _FILES or sum(waiting) > _WAITING:
                with self._read_back():
                    self.pictures.optimize()
                for table in (self.pictures, self.broken):
                    table.optimize(cleanup_older_than=_OLD)

    def check_filter(self, where):
        """Raise a SearchError unless a filter can be used."""
        if where is not None:
            columns = ", ".join(n for n in self.pictures.schema.names if n != "vector")
            with told(f"The filter {where!r}", f"The columns are {columns}."):
                _query(self.pictures, where, 1).select(["path"]).to_arrow()

    def nearest(self, queries, k, where=None):
        """Row ids and cosines of the pictures closest to (q, D) queries: two lists of q arrays."""
        if self.count() < EXACT_BELOW:
            ids, vectors = self.vectors(where)
            if not len(ids):
                return [ids] * len(queries), [np.empty(0, "float32")] * len(queries)
            rows, cosines = exact.nearest(vectors, queries, k)
            return list(ids[rows]), list(cosines)
        with self._reading():
            found = [self._indexed(query, k, where) for query in queries]
        return [ids for ids, _ in found], [1 - distances for _, distances in found]

    def _indexed(self, query, k, where):
        asked = self.pictures.search(query).distance_type("cosine").limit(k).with_row_id(True)
        asked = asked.nprobes(_EVERY).refine_factor(_REFINED).select(["_distance"])
        found = (asked.where(where) if where else asked).to_arrow()
        return found["_rowid"].to_numpy(), found["_distance"].to_numpy()

    def vectors(self, where=None):
        """Row ids (n,) and vectors (n, D) of all pictures, or of those that a filter leaves."""
        if where is None and self._kept[0] == self.pictures.version:
            return self._kept[1]
        with self._reading():
            found = _query(self.pictures, where).select(["vector"]).with_row_id(True).to_arrow()
        flat = found["vector"].combine_chunks().flatten().to_numpy()
        vectors = found["_rowid"].to_numpy(), flat.reshape(-1, self.dimension)
        if where is None:
            self._kept = self.pictures.version, vectors
        return vectors

    def rows(self, ids):
        """What is known of some pictures, without their vectors: list of dictionaries."""
        if not len(ids):
            return []
        names = [name for name in self.pictures.schema.names if name != "vector"]
        with self._reading():
            taken = self.pictures.take_row_ids(np.unique(ids).tolist()).select(names)
            found = taken.with_row_id().to_arrow().to_pylist()
        by_id = {row.pop("_rowid"): row for row in found}
        return [by_id[int(one)] for one in ids]

    def _reading(self):
        return told(f"{self.directory}: the index cannot be read", _DAMAGED)

    def _writing(self):
        return told(f"{self.directory}: the index cannot be written", _UNWRITTEN)


def _lancedb():
    os.environ.setdefault("LANCE_LOG", "error")  # else it tells of every table that it makes
    try:
        import lancedb
    except ImportError as error:
        raise ImportError('An index needs LanceDB: pip install "keras-clip[search]".') from error
    return lancedb


def _query(table, where=None, limit=None):
    asked = table.search()
    return (asked.where(where) if where else asked).limit(limit)


def _stats(table):
    found = _query(table).select(["path", "size", "modified"]).to_arrow()
    modified = found["modified"].cast("int64")
    return found["path"].to_numpy(), found["size"].to_numpy(), modified.to_numpy()


def _delete(table, paths):
    for where in _in_parts(paths):
        table.delete(where)


def _in_parts(paths):
    """Filters for pictures of these paths, some thousands in each."""
    for start in range(0, len(paths), _NAMED):
        names = ("'" + path.replace("'", "''") + "'" for path in paths[start : start + _NAMED])
        yield f"path in ({', '.join(names)})"


def _index_kind():
    from lancedb.index import IvfRq

    return IvfRq(distance_type="cosine", num_bits=_BITS)
