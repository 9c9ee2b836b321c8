"""Reads NumPy archives, member by member, without unpickling."""

import pathlib
import re
import sys

import numpy as np

from keras_clip.convert.blobs import SharedFile, ZipBlobs
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.tensors import BFLOAT16, Checkpoint, Layout, LazyTensor

_MAGIC = b"\x93NUMPY"
_MAX_HEADER_BYTES = 64 * 2**10
_MAX_TEXT_BYTES = 64 * 2**10
_HEADER = re.compile(
    r"\{\s*'descr':\s*(?P<descr>'[^']*'|\[.*\]|\(.*\)),\s*'fortran_order':\s*(?P<fortran>True|False),"
    r"\s*'shape':\s*\((?P<shape>[\dL, ]*)\),?\s*\}\s*"
)


def is_npz(archive: ZipBlobs) -> bool:
    """Whether the archive's members are NumPy arrays."""
    names = archive.names()
    if any(name.endswith(".npy") for name in names):
        return True
    return bool(names) and _head(archive, names[0], len(_MAGIC)) == _MAGIC


def open_npz(path: pathlib.Path, file: SharedFile, archive: ZipBlobs) -> Checkpoint:
    """Opens a NumPy archive, compressed or not; only the members' headers are read yet.

    Two-byte void, as NumPy writes bfloat16, becomes bfloat16. Text goes to the metadata.

    Raises:
        CheckpointError: A member is damaged, or holds Python objects.
    """
    tensors, metadata = {}, {}
    for member in archive.names():
        name = member.removesuffix(".npy")
        if name in tensors or name in metadata:
            raise CheckpointError(f"the archive holds two members for {name!r}")
        layout = _layout(archive, member)
        blob = archive.open(member)
        if layout.dtype.kind in "US":
            metadata[name] = _text(member, layout, blob)
        else:
            tensors[name] = LazyTensor(path, name, layout, blob)

    def close():
        archive.close()
        file.close()

    return Checkpoint(path, "npz", tensors, metadata, close)


def _head(archive: ZipBlobs, member: str, size: int) -> bytes:
    blob = archive.open(member)
    buffer = bytearray(min(size, blob.size))
    blob.readinto(buffer, 0)
    return bytes(buffer)


def _layout(archive: ZipBlobs, member: str) -> Layout:
    head = _head(archive, member, 12)
    if head[:6] != _MAGIC or len(head) < 12 or head[6] not in (1, 2, 3):
        raise CheckpointError(f"member {member!r} is not a NumPy array; the file is damaged")
    width = 2 if head[6] == 1 else 4
    size = int.from_bytes(head[8 : 8 + width], "little")
    if size > _MAX_HEADER_BYTES:
        raise CheckpointError(f"the header of member {member!r} has {size} bytes; it is damaged")
    offset = 8 + width + size
    text = _head(archive, member, offset)[8 + width :].decode("latin-1")
    match = _HEADER.fullmatch(text)
    if match is None:
        raise CheckpointError(f"the header of member {member!r} is damaged: {text[:80]!r}")
    dtype = _dtype(member, match["descr"].strip("'"))
    sizes = [part.strip().removesuffix("L") for part in match["shape"].split(",")]
    if any(not part.isdecimal() or len(part) > 20 for part in sizes if part):
        raise CheckpointError(f"the shape of member {member!r} is damaged: {match['shape']!r}")
    shape = tuple(int(part) for part in sizes if part)
    if match["fortran"] == "False":
        return Layout(shape, dtype, offset)
    strides = [1]
    for length in shape[:-1]:
        strides.append(strides[-1] * length)
    return Layout(shape, dtype, offset, tuple(strides[: len(shape)]))


def _dtype(member: str, descr: str) -> np.dtype:
    if descr.endswith("O") or "O'" in descr:
        raise CheckpointError(
            f"member {member!r} is an object array, that is a pickle, which can run code; "
            "it is not read. Save it again as an array of numbers"
        )
    if descr.lstrip("<>|=") == "V2":
        return BFLOAT16
    if re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[248]|c(8|16)|[US][1-9]\d{0,5})", descr) is None:
        raise CheckpointError(
            f"member {member!r} has the dtype {descr[:40]!r}; only numbers, booleans and "
            "bfloat16 (V2) are read"
        )
    return np.dtype(descr)


def _text(member: str, layout: Layout, blob) -> object:
    layout.check(blob.size)
    size = layout.count * layout.dtype.itemsize
    if size > _MAX_TEXT_BYTES:
        raise CheckpointError(f"member {member!r} holds {size} bytes of text; it is no weight")
    buffer = bytearray(size)
    blob.readinto(buffer, layout.offset)
    if layout.dtype.kind == "U":
        # NumPy itself does not check this, and the interpreter stops.
        points = np.frombuffer(buffer, np.dtype(np.uint32).newbyteorder(layout.dtype.byteorder))
        if points.size and points.max() > sys.maxunicode:
            raise CheckpointError(f"the text of member {member!r} is damaged")
    return np.frombuffer(buffer, layout.dtype).reshape(layout.shape).tolist()
