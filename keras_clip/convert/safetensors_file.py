"""Reads safetensors: a JSON header, then the tensors' bytes without gaps."""

import json
import pathlib

import ml_dtypes
import numpy as np

from keras_clip.convert.blobs import FileBlob, SharedFile
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.tensors import Checkpoint, Layout, LazyTensor

DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
    "C64": np.dtype("<c8"),
}
# Room for 100,000 tensors; the parsed header takes some thirty times its bytes at worst.
_MAX_HEADER_BYTES = 16 * 2**20


def open_safetensors(path: pathlib.Path, file: SharedFile) -> Checkpoint:
    """Opens a safetensors file; only its header is read yet.

    Raises:
        CheckpointError: The file is damaged.
    """
    size = int.from_bytes(file.read(0, 8), "little")
    if size > _MAX_HEADER_BYTES or size + 8 > file.size:
        raise CheckpointError(
            f"its header should have {size} bytes, the file has {file.size}; "
            "it is cut or no safetensors file: download it again"
        )
    try:
        header = json.loads(file.read(8, size), object_pairs_hook=_unique)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"its header is not JSON ({error}); download it again") from None
    if type(header) is not dict:
        raise CheckpointError("its header is not a JSON object; download it again")
    metadata = header.pop("__metadata__", None) or {}
    if type(metadata) is not dict:
        raise CheckpointError("its __metadata__ is not a JSON object")
    ranges = {name: _range(name, entry) for name, entry in header.items()}
    _check_cover(ranges, file.size - 8 - size)
    tensors = {}
    for name, (start, end) in ranges.items():
        layout = _layout(name, header[name], end - start)
        blob = FileBlob(file, 8 + size + start, end - start)
        tensors[name] = LazyTensor(path, name, layout, blob)
    return Checkpoint(path, "safetensors", tensors, metadata, file.close)


def _unique(pairs: list[tuple[str, object]]) -> dict:
    result = {}
    for key, value in pairs:
        if key in result:
            raise CheckpointError(f"its header holds the duplicate key {key!r}")
        result[key] = value
    return result


def _range(name: str, entry: object) -> tuple[int, int]:
    span = entry.get("data_offsets") if type(entry) is dict else None
    if type(span) is not list or len(span) != 2 or any(type(n) is not int for n in span):
        raise CheckpointError(f"tensor {name!r} has no data_offsets of two numbers")
    if not 0 <= span[0] <= span[1]:
        raise CheckpointError(f"the data_offsets of tensor {name!r} run backwards")
    return span[0], span[1]


def _check_cover(ranges: dict[str, tuple[int, int]], available: int) -> None:
    end, before = 0, None
    for name, (start, stop) in sorted(ranges.items(), key=lambda item: item[1]):
        if start < end:
            raise CheckpointError(f"the bytes of tensors {before!r} and {name!r} overlap")
        if start > end:
            raise CheckpointError(f"there is a gap of {start - end} bytes before tensor {name!r}")
        if stop > available:
            raise CheckpointError(
                f"tensor {name!r} ends at byte {stop} of {available}; the file is cut: "
                "download it again"
            )
        end, before = stop, name
    if end != available:
        raise CheckpointError(f"{available - end} bytes at its end belong to no tensor")


def _layout(name: str, entry: dict, size: int) -> Layout:
    dtype = DTYPES.get(entry["dtype"]) if type(entry.get("dtype")) is str else None
    if dtype is None:
        raise CheckpointError(
            f"tensor {name!r} has the dtype {str(entry.get('dtype'))[:40]}, which is not known"
        )
    shape = entry.get("shape")
    if type(shape) is not list or any(type(n) is not int or n < 0 for n in shape):
        raise CheckpointError(f"the shape of tensor {name!r} is not a list of sizes")
    layout = Layout(tuple(shape), dtype)
    layout_bytes = layout.count * dtype.itemsize
    if layout_bytes != size:
        raise CheckpointError(
            f"tensor {name!r} of shape {shape} needs {layout_bytes} bytes but has {size}"
        )
    return layout
