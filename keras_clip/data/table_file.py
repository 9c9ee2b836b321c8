"""What every format of a table is read as."""

from collections.abc import Callable
from typing import NamedTuple


class TableFile(NamedTuple):
    """A table, whose rows are read when they are asked for.

    Args:
        header: list of str, its columns.
        rows: function from some of them to an iterator of (number, list of values), row by row.
        pictures: set of the columns that hold pictures themselves.
        class_names: {column: list of str}, of labels that are numbers of these.
    """

    header: list
    rows: Callable
    pictures: frozenset = frozenset()
    class_names: dict = {}  # noqa: RUF012
