"""The columns of an index: what is known of a picture, and of a broken one."""

import numpy as np


def schemas(dimension):
    """The columns of both tables, for vectors of `dimension` numbers: {name: pyarrow.Schema}."""
    import pyarrow as pa

    file = [
        pa.field("path", pa.string()),
        pa.field("size", pa.int64()),
        pa.field("modified", pa.timestamp("us", "UTC")),
    ]
    picture = [
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("added", pa.timestamp("us", "UTC")),
        pa.field("vector", pa.list_(pa.float32(), dimension)),
    ]
    reason = [pa.field("reason", pa.string())]
    return {"pictures": pa.schema(file + picture), "broken": pa.schema(file + reason)}


def as_table(rows, schema):
    """Rows as a table: list of dictionaries -> pyarrow.Table; what a row lacks is null."""
    import pyarrow as pa

    columns = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        if field.name == "vector":  # number by number, this would take longer than a GPU's work
            flat = pa.array(np.concatenate(values))
            columns.append(pa.FixedSizeListArray.from_arrays(flat, field.type.list_size))
        else:
            columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=schema)
