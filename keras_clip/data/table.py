"""Pictures that tables name or hold, a row each."""

import math
import os
from array import array

import numpy as np

from keras_clip.data.captions import CaptionsBuilder, caption_texts
from keras_clip.data.cells import Cells, check_groups
from keras_clip.data.delimited import delimited_table
from keras_clip.data.json_lines import json_lines_table
from keras_clip.data.labels import LabelsBuilder, label_text, whole_number
from keras_clip.data.left_out import LeftOut
from keras_clip.data.parquet import parquet_table
from keras_clip.data.pictures import Pictures
from keras_clip.data.places import Files, common_folder, distinct_names

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_NAMES = {
    "image": (
        "image path filepath file_path file filename file_name image_path img_path img"
    ).split(),
    "label": "label class class_name target".split(),
    "caption": "caption captions text title".split(),
}


def table_pictures(paths, columns=None, left_out=None):
    """Read tables of pictures; paths in them start from the table's own folder.

    Rows of one path with several captions make one picture with several captions. Pictures that
    stand in the table itself have keys `table.parquet/ROW`.

    Args:
        paths: list of str, the files; all have the same columns.
        columns: as `checked_columns` gives them; of those not given, common names are taken.
        left_out: LeftOut, for captions that say nothing.

    Raises:
        ValueError: a column or a value is missing, or a picture comes twice; the row is named.
        ImportError: parquet, and pyarrow is not installed.
    """
    columns, left_out = columns or {}, LeftOut() if left_out is None else left_out
    tables = [_opened(path, columns) for path in paths]
    chosen = _chosen(paths[0], tables[0].header, columns)
    rows = _Rows(chosen, tables[0].class_names, left_out)
    names = distinct_names(paths)
    for number, (path, name, table) in enumerate(zip(paths, names, tables, strict=True)):
        _check_header(path, table, tables[0], chosen)
        inside = chosen["image"][0] in table.pictures
        if inside:
            check_groups(path, chosen["image"][0])
        rows.read(path, number, table, name if inside else os.path.dirname(name))
    if not rows.keys:
        raise ValueError(f"{paths[0]}: the table has no row.")
    return rows.pictures(paths)


class _Rows:
    """Collects the rows of tables."""

    def __init__(self, chosen, class_names, left_out):
        self.chosen, self.left_out = chosen, left_out
        self.class_names = class_names.get(chosen.get("label", [None])[0])
        self.keys, self.numbers, self.cells = [], {}, (array("q"), array("q"))
        self.labels, self.captions = LabelsBuilder(), CaptionsBuilder()

    def read(self, path, number, table, prefix):
        """Read all rows of a table; keys of its pictures begin with `prefix`."""
        (image,), label = self.chosen["image"], self.chosen.get("label", [])
        inside = image in table.pictures
        texts = self.chosen.get("caption", [])
        for line, values in table.rows([*([] if inside else [image]), *label, *texts]):
            where = f"{path}, row {line}"
            name = str(line) if inside else _path(where, image, values.pop(0))
            row = self._row(where, os.path.join(prefix, name), values.pop(0) if label else None)
            if inside:
                self.cells[0].append(number)
                self.cells[1].append(line)
            if texts:
                self._caption(where, row, values)

    def _row(self, where, key, label):
        """The number of the picture, a new one or one that has come before."""
        has_label = "label" in self.chosen
        label = self._label(where, label) if has_label else None
        row = self.numbers.setdefault(key, len(self.keys))
        if row == len(self.keys):
            self.keys.append(key)
            if has_label:
                self.labels.add(label)
        elif "caption" not in self.chosen:
            raise ValueError(f"{where}: the picture {key!r} comes a second time.")
        elif has_label and not self.labels.is_label_of(row, label):
            raise ValueError(f"{where}: the picture {key!r} came with another label before.")
        return row

    def _label(self, where, value):
        column = self.chosen["label"][0]
        try:
            label = label_text(value)
        except ValueError as error:
            raise ValueError(f"{where}: {column!r}: {error}.") from error
        if not label:
            raise ValueError(f"{where}: {column!r} is empty.")
        if self.class_names and whole_number(label) not in range(len(self.class_names)):
            raise ValueError(
                f"{where}: {column!r} is {label}, and the table has names for classes 0 to "
                f"{len(self.class_names) - 1}."
            )
        return label

    def _caption(self, where, row, values):
        for column, value in zip(self.chosen["caption"], values, strict=True):
            try:
                found = caption_texts(value)
            except ValueError as error:
                raise ValueError(f"{where}: {column!r}: {error}.") from error
            if not found:
                self.left_out.add(where, f"{column!r} has no caption")
            self.captions.add(row, found)

    def pictures(self, paths):
        """The Pictures of all rows."""
        labels, names = self.labels.build() if "label" in self.chosen else (None, None)
        captions = self.captions.build(len(self.keys)) if "caption" in self.chosen else None
        if self.cells[0]:
            shard, row = (np.array(column, "int64") for column in self.cells)
            places = Cells(paths, self.chosen["image"][0], shard, row)
        else:
            places = Files(common_folder(paths), self.keys)
        names = self.class_names or names
        return Pictures(self.keys, places, labels, names, captions, left_out=self.left_out)


def _opened(path, columns):
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".parquet":
        return parquet_table(path)
    if suffix in (".jsonl", ".ndjson"):
        return json_lines_table(path)
    return delimited_table(path, suffix, lambda header: _found("image", header, columns))


def _found(kind, header, columns):
    """The columns of a kind in a header, as told or by common names: list of str, or empty."""
    if kind in columns:
        return list(columns[kind]) if set(columns[kind]) <= set(header) else []
    lower = {name.lower(): name for name in reversed(header)}
    return [lower[name] for name in _NAMES[kind] if name in lower][:1]


def _chosen(path, header, columns):
    """{kind: columns of the table} of those that are there."""
    for names in columns.values():
        for name in names:
            if name not in header:
                raise ValueError(f"{path}: no column {name!r}; there are {header}.")
    chosen = {kind: found for kind in _NAMES if (found := _found(kind, header, columns))}
    if "image" not in chosen:
        raise ValueError(
            f"{path}: no column of pictures; there are {header}. Name it, or call it one of "
            f"{_NAMES['image']}."
        )
    return chosen


def _check_header(path, table, first, chosen):
    """Raise a ValueError where a table has not the columns of the first, or has one twice."""
    for name in [name for names in chosen.values() for name in names]:
        count = table.header.count(name)
        if count != 1:
            told = f"{count} columns {name!r}" if count else f"no column {name!r}"
            raise ValueError(f"{path}: {told}; there are {table.header}.")
        if (name in table.pictures) != (name in first.pictures):
            raise ValueError(f"{path}: {name!r} is of another kind than in the first table.")
        if table.class_names.get(name) != first.class_names.get(name):
            raise ValueError(f"{path}: {name!r} has other class names than in the first table.")


def _path(where, column, value):
    """The path of a picture."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        raise ValueError(f"{where}: {column!r} is empty.")
    if not isinstance(value, str):
        raise ValueError(f"{where}: {column!r} is {type(value).__name__}, no path of a picture.")
    if value.lower().startswith(("http://", "https://")):
        raise ValueError(f"{where}: {value} is a URL: fetch the picture, and name its path.")
    if "\0" in value:
        raise ValueError(f"{where}: {column!r} has a NUL character.")
    return value
