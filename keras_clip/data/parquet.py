"""Parquet tables: paths or pictures themselves, and the class names that the Hub's have."""

import json

from keras_clip.data.table_file import TableFile

_BATCH = 65536  # rows at a time


def parquet_table(path):
    """Open a parquet file: a TableFile, whose rows are numbered from 0.

    Columns of bytes hold pictures, and so do those of {bytes, path}, the `Image` of Hugging Face's
    datasets, whose `ClassLabel` columns have class names.

    Raises:
        ValueError: it cannot be read.
        ImportError: pyarrow is not installed.
    """
    _, parquet = import_pyarrow()
    try:
        schema = parquet.read_schema(path)
    except unreadable() as error:
        raise ValueError(f"{path}: not a readable parquet file: {error}") from error
    pictures = frozenset(field.name for field in schema if bytes_column(field.type, field.name))

    def rows(names):
        line = 0
        try:
            with parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(_BATCH, columns=list(names)):
                    columns = [batch.column(name).to_pylist() for name in names]
                    for values in zip(*columns, strict=True) if names else [()] * batch.num_rows:
                        yield line, list(values)
                        line += 1
        except unreadable() as error:
            raise ValueError(f"{path}, row {line} or later: cannot be read: {error}") from error

    return TableFile(schema.names, rows, pictures, _class_names(schema))


def import_pyarrow():
    """Return (pyarrow, pyarrow.parquet), or say how to install them."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(
            'Parquet files need pyarrow: pip install "keras-clip[data]".', name="pyarrow"
        ) from error
    return pyarrow, parquet


def unreadable():
    """What pyarrow raises for a file that is damaged or gone."""
    pyarrow, _ = import_pyarrow()
    return pyarrow.ArrowException, OSError, UnicodeDecodeError


def bytes_column(kind, name):
    """Where in the file the bytes of a column of this type are; None: it has none."""
    from pyarrow import types

    if types.is_struct(kind):
        inside = kind.get_field_index("bytes")
        return f"{name}.bytes" if inside >= 0 and _is_bytes(kind.field(inside).type) else None
    return name if _is_bytes(kind) else None


def _is_bytes(kind):
    return str(kind) in ("binary", "large_binary", "binary_view")


def _class_names(schema):
    """{column: names} of what Hugging Face's datasets say of its features."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        found = {
            name: feature["names"]
            for name, feature in features.items()
            if feature.get("_type") == "ClassLabel"
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
    return {name: list(map(str, names)) for name, names in found.items() if names}
