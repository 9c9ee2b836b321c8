"""The files of a part: parquet, or npy beside JSON."""

import io
import json

import numpy as np


def part_files(settings, name, pictures, rows, vectors, captions=None):
    """The files of one part: {file name: bytes}, always the same for the same rows.

    Args:
        settings: Settings.
        name: str, what the files are called before the suffix.
        pictures: Pictures of the part.
        rows: list of k int, those that have a vector.
        vectors: (k, dim) array.
        captions: list of k tuples of str, or None.

    Raises:
        ImportError: parquet, and pyarrow is not installed.
    """
    columns = {"key": [pictures.keys[row] for row in rows]}
    if pictures.labels is not None:
        columns["label"] = [pictures.label(row) for row in rows]
    if captions is not None:
        columns["captions"] = list(map(list, captions))
    if settings.format == "parquet":
        numbers = pictures.class_names is None
        return {f"{name}.parquet": _parquet(columns, vectors, numbers)}
    array = io.BytesIO()
    np.save(array, vectors)
    texts = json.dumps(columns, ensure_ascii=False, indent=0).encode()
    return {f"{name}.npy": array.getvalue(), f"{name}.json": texts}


def read_keys(directory, names):
    """The keys of one part, list of str."""
    (texts,) = (name for name in names if not name.endswith(".npy"))
    if texts.endswith(".json"):
        return json.loads((directory / texts).read_text(encoding="utf-8"))["key"]
    return _column(directory / texts, "key").to_pylist()


def read_vectors(directory, names, dim):
    """The vectors of one part, (k, dim); those of npy stay on the disk until they are used."""
    (vectors,) = (name for name in names if not name.endswith(".json"))
    if vectors.endswith(".npy"):
        return np.load(directory / vectors, mmap_mode="r")
    flat = [chunk.flatten().to_numpy() for chunk in _column(directory / vectors, "vector").chunks]
    return np.concatenate(flat).reshape(-1, dim) if len(flat) > 1 else flat[0].reshape(-1, dim)


def _parquet(columns, vectors, labels_are_numbers):
    pyarrow, parquet = import_pyarrow()
    values = pyarrow.array(vectors.reshape(-1))
    kinds = {
        "captions": pyarrow.list_(pyarrow.string()),
        "label": pyarrow.int64() if labels_are_numbers else pyarrow.string(),
    }
    columns = {n: pyarrow.array(v, kinds.get(n, pyarrow.string())) for n, v in columns.items()}
    columns["vector"] = pyarrow.FixedSizeListArray.from_arrays(values, vectors.shape[1])
    file = io.BytesIO()
    # Vectors are noise to a dictionary, to a compressor and to statistics.
    parquet.write_table(
        pyarrow.table(columns), file,
        compression={n: "NONE" if n == "vector" else "SNAPPY" for n in columns},
        use_dictionary=[n for n in columns if n == "label"],
        write_statistics=["key"],
    )  # fmt: skip
    return file.getvalue()


def _column(path, name):
    _, parquet = import_pyarrow()
    return parquet.read_table(path, columns=[name], memory_map=True)[name]


def import_pyarrow():
    """Return (pyarrow, pyarrow.parquet).

    Raises:
        ImportError: it is not installed; the message says what to do.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(
            'Parquet needs pyarrow: pip install "keras-clip[data]", or take format="npy".',
            name="pyarrow",
        ) from error
    return pyarrow, parquet
