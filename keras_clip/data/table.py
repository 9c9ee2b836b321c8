"""Pictures that a CSV, TSV or parquet file names, a row each."""

import csv
import os

from keras_clip.data.captions import CaptionsBuilder
from keras_clip.data.labels import LabelsBuilder
from keras_clip.data.pictures import Pictures
from keras_clip.data.places import Files

TABLES = (".csv", ".tsv", ".parquet")
_NAMES = {
    "image": "image path filepath file_path file filename file_name image_path img_path".split(),
    "label": "label class class_name target".split(),
    "caption": "caption captions text title".split(),
}
_BATCH = 65536  # rows of a parquet file at a time


def table_pictures(path, columns=None):
    """Read a table of pictures; paths in it start from its own folder.

    Rows of one picture with several captions make one picture with several captions.

    Args:
        path: str, the file.
        columns: {"image": name, "label": name, "caption": name}, any of them; None: common names.

    Raises:
        ValueError: a column or a value is missing, or a picture comes twice; the row is named.
        ImportError: parquet, and pyarrow is not installed.
    """
    opened = _parquet if path.lower().endswith(".parquet") else _delimited
    header, rows = opened(path)
    chosen = _chosen(path, header, columns or {})
    keys, numbers, labels, captions = [], {}, LabelsBuilder(), CaptionsBuilder()
    has_label, has_caption = "label" in chosen, "caption" in chosen
    for line, (image, label, caption) in rows(chosen):
        where = f"{path}, row {line}"
        image = _text(where, chosen["image"], image)
        label = _text(where, chosen["label"], label) if has_label else None
        row = numbers.setdefault(image, len(keys))
        if row == len(keys):
            keys.append(image)
            if has_label:
                labels.add(label)
        elif not has_caption:
            raise ValueError(f"{where}: the picture {image!r} comes a second time.")
        elif has_label and not labels.is_label_of(row, label):
            raise ValueError(f"{where}: the picture {image!r} came with another label before.")
        if caption:
            some = caption if isinstance(caption, list) else [caption]
            captions.add(row, [str(text) for text in some if text is not None])
    if not keys:
        raise ValueError(f"{path}: the table has no row.")
    found, names = labels.build() if has_label else (None, None)
    texts = captions.build(len(keys)) if has_caption else None
    return Pictures(keys, Files(os.path.dirname(path), keys), found, names, texts)


def _chosen(path, header, columns):
    """{kind: column of the table}, as told or by common names."""
    unknown = sorted(set(columns) - set(_NAMES))
    if unknown:
        raise ValueError(f"columns has no {unknown}; its entries are {list(_NAMES)}.")
    lower = {name.lower(): name for name in reversed(header)}
    chosen = {}
    for kind, names in _NAMES.items():
        if kind in columns:
            if columns[kind] not in header:
                raise ValueError(f"{path}: no column {columns[kind]!r}; there are {header}.")
            chosen[kind] = columns[kind]
        elif found := [lower[name] for name in names if name in lower]:
            chosen[kind] = found[0]
    if "image" not in chosen:
        raise ValueError(
            f"{path}: no column of pictures; there are {header}. Name it, or call it one of "
            f"{_NAMES['image']}."
        )
    return chosen


def _text(where, column, value):
    if isinstance(value, (bytes, dict)):
        raise ValueError(f"{where}: {column!r} holds pictures themselves; paths are expected.")
    if value is None or value == "":
        raise ValueError(f"{where}: {column!r} is empty.")
    return str(value)


def _delimited(path):
    """The header of a CSV or TSV file, and a function from chosen columns to its rows."""
    delimiter = "\t" if path.lower().endswith(".tsv") else ","

    def lines():
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=delimiter)
            try:
                yield from ((reader.line_num, fields) for fields in reader if fields)
            except (csv.Error, UnicodeDecodeError) as error:
                raise ValueError(f"{path}, row {reader.line_num + 1}: {error}.") from error

    header = next(lines(), (0, []))[1]

    def rows(chosen):
        places = [header.index(chosen[kind]) if kind in chosen else None for kind in _NAMES]
        table = lines()
        next(table)
        for line, fields in table:
            if len(fields) != len(header):
                counts = f"{len(fields)} values for {len(header)} columns"
                raise ValueError(f"{path}, row {line}: {counts}.")
            yield line, [None if place is None else fields[place] for place in places]

    return header, rows


def _parquet(path):
    """The same of a parquet file."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ImportError(
            'Parquet files need pyarrow: pip install "keras-clip[data]".', name="pyarrow"
        ) from error
    try:
        file = ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a readable parquet file: {error}") from error

    def rows(chosen):
        line = 0
        for batch in file.iter_batches(_BATCH, columns=sorted(set(chosen.values()))):
            known = {name: batch.column(name).to_pylist() for name in chosen.values()}
            for row in range(batch.num_rows):
                line += 1
                yield line, [known[chosen[k]][row] if k in chosen else None for k in _NAMES]

    return file.schema_arrow.names, rows
