"""Writes checkpoints tensor by tensor; a file appears whole under its name, or not at all."""

import contextlib
import json
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from keras_clip.convert.safetensors_file import DTYPES
from keras_clip.convert.tensors import BFLOAT16, LazyTensor
from keras_clip.convert.torch_file import NOTE_FILE
from keras_clip.convert.torch_pickle_writer import state_dict_pickle, storage_class

Source = np.ndarray | LazyTensor | Callable[[], np.ndarray]
Tensors = Mapping[str, Source]

_DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
# PyTorch maps storages that begin at such a multiple straight into memory.
_TORCH_ALIGNMENT = 64
_LOCAL_HEADER_BYTES = 30
_ZIP64_EXTRA_BYTES = 20
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def write_safetensors(
    path: str | os.PathLike,
    tensors: Tensors,
    metadata: Mapping[str, str] | None = None,
    max_shard_size: int | None = None,
) -> list[pathlib.Path]:
    """Writes safetensors; in shards with an index, as Hugging Face does, beyond a size.

    Args:
        path: The file, such as `model.safetensors`. Shards are named after it
            (`model-00001-of-00002.safetensors`), the index is `model.safetensors.index.json`.
        tensors: By name: arrays, lazy tensors, or functions that give an array. A function is
            called twice, so that only one array is in memory at a time.
        metadata: Text that goes into every file's header.
        max_shard_size: Bytes of tensors per file; one larger tensor has a file of its own.

    Returns:
        The files written.

    Raises:
        ValueError: A dtype that safetensors does not have.
    """
    path = pathlib.Path(path)
    specs = {name: _spec(name, source) for name, source in tensors.items()}
    shards = _shards(specs, max_shard_size)
    names = [
        f"{path.stem}-{i:05}-of-{len(shards):05}{path.suffix}" for i in range(1, len(shards) + 1)
    ]
    index = path.with_name(f"{path.name}.index.json")
    if len(shards) == 1:
        with _replacing(path) as temporary:
            _write_shard(temporary, shards[0], specs, tensors, metadata)
        # An index left from an earlier, sharded write would describe other weights.
        index.unlink(missing_ok=True)
        return [path]
    with contextlib.ExitStack() as stack:
        placed = {name: file for file, shard in zip(names, shards, strict=True) for name in shard}
        total = sum(_size(spec) for spec in specs.values())
        text = {"metadata": {"total_size": total}, "weight_map": dict(sorted(placed.items()))}
        # Left in reverse order: the index is renamed last, when all shards are in place.
        stack.enter_context(_replacing(index)).write_text(json.dumps(text, indent=2) + "\n")
        for file, shard in zip(names, shards, strict=True):
            temporary = stack.enter_context(_replacing(path.with_name(file)))
            _write_shard(temporary, shard, specs, tensors, metadata)
    path.unlink(missing_ok=True)
    return [*(path.with_name(name) for name in names), index]


def write_torch_zip(path: str | os.PathLike, tensors: Tensors, note: Mapping | None = None) -> None:
    """Writes a state dict that `torch.load(path, weights_only=True)` reads, without PyTorch.

    Args:
        path: The file, such as `pytorch_model.bin`.
        tensors: By name: arrays, lazy tensors, or functions that give an array.
        note: What stands beside the tensors, in a member that PyTorch passes over.

    Raises:
        ValueError: A dtype that PyTorch's storages do not have.
    """
    specs = {}
    with _replacing(pathlib.Path(path)) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for number, (name, source) in enumerate(tensors.items()):
            array = _array(source)
            storage_class(name, array.dtype)
            specs[name] = (array.dtype, array.shape)
            _write_member(archive, f"archive/data/{number}", _bytes(array))
            del array
        _write_member(archive, "archive/data.pkl", state_dict_pickle(specs))
        _write_member(archive, "archive/byteorder", b"little")
        _write_member(archive, "archive/version", b"3\n")
        if note is not None:
            _write_member(archive, f"archive/{NOTE_FILE}", json.dumps(note).encode())


def write_npz(path: str | os.PathLike, tensors: Tensors) -> None:
    """Writes a NumPy archive, not compressed; bfloat16 as two-byte void, as NumPy writes it.

    Args:
        path: The file, written under exactly this name.
        tensors: By name: arrays, lazy tensors, or functions that give an array.

    Raises:
        ValueError: A dtype that NumPy cannot read back.
    """
    with _replacing(pathlib.Path(path)) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, source in tensors.items():
            array = _array(source)
            if array.dtype.kind not in "biufc" and array.dtype != BFLOAT16:
                raise ValueError(f"tensor {name!r}: npz has no {array.dtype}; convert it first")
            member = zipfile.ZipInfo(f"{name}.npy", _ZIP_DATE)
            with archive.open(member, "w", force_zip64=True) as stream:
                kind = "V2" if array.dtype == BFLOAT16 else array.dtype.str
                header = {"descr": kind, "fortran_order": False, "shape": array.shape}
                np.lib.format.write_array_header_1_0(stream, header)
                stream.write(_bytes(array))
            del array


@contextlib.contextmanager
def _replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _array(source: Source) -> np.ndarray:
    if isinstance(source, LazyTensor):
        return source.read()
    array = np.asarray(source() if callable(source) else source, order="C")
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _bytes(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _spec(name: str, source: Source) -> tuple[np.dtype, tuple[int, ...]]:
    known = source if hasattr(source, "dtype") and hasattr(source, "shape") else _array(source)
    dtype = np.dtype(known.dtype).newbyteorder("<")
    if dtype not in _DTYPE_NAMES:
        raise ValueError(f"tensor {name!r}: safetensors has no dtype {dtype}; convert it first")
    return dtype, tuple(known.shape)


def _size(spec: tuple[np.dtype, tuple[int, ...]]) -> int:
    return int(np.prod(spec[1], dtype=np.int64)) * spec[0].itemsize


def _shards(specs: dict, limit: int | None) -> list[list[str]]:
    shards, room = [[]], limit
    for name, spec in specs.items():
        if limit is not None:
            if shards[-1] and _size(spec) > room:
                shards.append([])
                room = limit
            room -= _size(spec)
        shards[-1].append(name)
    return shards


def _write_shard(path, names: list[str], specs: dict, tensors: Tensors, metadata) -> None:
    header = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    # Wider types first, so that every tensor lies at a multiple of its item size.
    ordered = sorted(names, key=lambda name: -specs[name][0].itemsize)
    for name in ordered:
        start, end = end, end + _size(specs[name])
        dtype, shape = specs[name]
        header[name] = {
            "dtype": _DTYPE_NAMES[dtype],
            "shape": list(shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in ordered:
            array = _array(tensors[name])
            if (array.dtype, array.shape) != specs[name]:
                raise ValueError(f"tensor {name!r}: its function gave two different shapes")
            file.write(_bytes(array))
            del array


def _write_member(archive: zipfile.ZipFile, name: str, data: bytes | memoryview) -> None:
    member = zipfile.ZipInfo(name, _ZIP_DATE)
    # zipfile puts its own 20 bytes in front of this padding field.
    begin = archive.fp.tell() + _LOCAL_HEADER_BYTES + len(name) + _ZIP64_EXTRA_BYTES + 4
    padding = -begin % _TORCH_ALIGNMENT
    member.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
    with archive.open(member, "w", force_zip64=True) as stream:
        stream.write(data)
