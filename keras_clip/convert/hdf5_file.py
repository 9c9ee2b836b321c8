"""Reads the HDF5 files that Keras writes: groups, and arrays of numbers that lie in one piece.

The HDF5 library itself follows links into other files, unpacks what it finds, and has had its share
of crashes on hostile input; of the format, Keras's weights need only this part.

Source: HDF5 File Format Specification, version 3.0: superblock 0 and 1, object headers 1, groups
as symbol tables.
"""

import pathlib
import struct

from keras_clip.convert.blobs import FileBlob, SharedFile
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.hdf5_messages import (
    CONTINUATION,
    DATASPACE,
    DATATYPE,
    GROUP,
    LAYOUT,
    UNREAD,
    dtype_of,
    place_of,
    shape_of,
)
from keras_clip.convert.tensors import Checkpoint, Layout, LazyTensor

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_NOWHERE = 2**64 - 1
_MAX_OBJECTS = 200_000
_MAX_DEPTH = 64
_MAX_HEADER_BYTES = 2**20
_MAX_NAME_BYTES = 1024
_ENTRY_BYTES = 40


def open_hdf5(path: pathlib.Path, file: SharedFile) -> Checkpoint:
    """Opens an HDF5 file; names are the paths of its datasets, such as `layers/dense/vars/0`.

    Raises:
        CheckpointError: The file is damaged, or written with features that Keras does not use.
    """
    head = file.read(0, min(file.size, 96))
    if len(head) < 96 or head[8] > 1 or head[13:15] != b"\x08\x08":
        raise CheckpointError(
            "is an HDF5 file of a newer kind than Keras writes, or cut; convert it to safetensors"
        )
    start = 24 if head[8] == 0 else 28
    base, _, end, _, _, root = struct.unpack_from("<6Q", head, start)
    if base or end > file.size:
        raise CheckpointError(
            f"the HDF5 file should have {end} bytes but has {file.size}; it is cut: "
            "download it again"
        )
    tensors = {}
    for name, messages in _Walk(file).datasets(root):
        layout, blob = _array(file, name, messages)
        tensors[name] = LazyTensor(path, name, layout, blob)
    return Checkpoint(path, "hdf5", tensors, {}, file.close)


def _array(file: SharedFile, name: str, messages: dict) -> tuple[Layout, FileBlob]:
    try:
        shape, dtype = shape_of(messages[DATASPACE]), dtype_of(messages[DATATYPE])
        address, size = place_of(messages[LAYOUT])
        layout = Layout(shape, dtype)
        needed = layout.count * dtype.itemsize
        if size < needed or (address == _NOWHERE and needed):
            raise CheckpointError(f"needs {needed} bytes but has {size}; the file is damaged")
        return layout, FileBlob(file, 0 if address == _NOWHERE else address, needed)
    except CheckpointError as error:
        raise CheckpointError(f"dataset {name!r}: {error}") from None


class _Walk:
    """Finds all datasets from a group on, each object once."""

    def __init__(self, file: SharedFile):
        self._file = file
        self._groups = set()
        self._left = _MAX_OBJECTS

    def datasets(self, address: int, prefix: str = "", depth: int = 0):
        """Yields (path, messages of its header)."""
        messages = self._messages(address)
        if GROUP not in messages:
            if not prefix or not {DATASPACE, DATATYPE, LAYOUT} <= set(messages):
                raise CheckpointError(f"the object {prefix!r} is neither a group nor a dataset")
            yield prefix, messages
            return
        if depth > _MAX_DEPTH or address in self._groups:
            raise CheckpointError(f"the group {prefix[:80]!r} lies in itself; the file is hostile")
        self._groups.add(address)
        tree, heap = struct.unpack("<2Q", messages[GROUP][:16].ljust(16, b"\0"))
        names = self._names(heap)
        for offset, child in self._entries(tree):
            name = names[offset : offset + _MAX_NAME_BYTES].split(b"\0")[0].decode()
            if not name or "/" in name:
                raise CheckpointError(f"an object in the group {prefix[:80]!r} has no sound name")
            yield from self.datasets(child, f"{prefix}/{name}" if prefix else name, depth + 1)

    def _take(self):
        self._left -= 1
        if self._left < 0:
            raise CheckpointError(f"it holds over {_MAX_OBJECTS} objects; the file is hostile")

    def _messages(self, address: int) -> dict[int, bytes]:
        """The messages of an object header by their type."""
        version, _, count, _, size = struct.unpack("<BBHII", self._file.read(address, 12))
        if version != 1:
            raise CheckpointError(
                f"an object header of version {version} at byte {address}; Keras writes version 1"
            )
        blocks, messages, seen = [(address + 16, size)], {}, 0
        while blocks:
            start, length = blocks.pop(0)
            if length > _MAX_HEADER_BYTES:
                raise CheckpointError(f"an object header of {length} bytes; the file is damaged")
            block, at = self._file.read(start, length), 0
            while at + 8 <= length and seen < count:
                self._take()
                kind, size, _ = struct.unpack_from("<HHB", block, at)
                data, at, seen = block[at + 8 : at + 8 + size], at + 8 + size, seen + 1
                if kind in UNREAD:
                    raise CheckpointError(f"an object with {UNREAD[kind]}, which is not read")
                if kind == CONTINUATION:
                    blocks.append(struct.unpack("<2Q", data[:16].ljust(16, b"\0")))
                messages.setdefault(kind, data)
        return messages

    def _names(self, address: int) -> bytes:
        """The text of a local heap, in which the names of a group's objects lie."""
        mark, size, _, start = struct.unpack("<8s3Q", self._file.read(address, 32))
        if mark[:5] != b"HEAP\0" or size > 2**24:
            raise CheckpointError(f"no list of names at byte {address}; the file is damaged")
        return self._file.read(start, size)

    def _entries(self, address: int, level: int | None = None):
        """Yields (offset of the name, address of the object) of a group's members in order."""
        self._take()
        head = self._file.read(address, 24)
        found, used = head[5], int.from_bytes(head[6:8], "little")
        if head[:5] != b"TREE\0" or (level is not None and found != level):
            raise CheckpointError(f"no list of objects at byte {address}; the file is damaged")
        words = struct.unpack(f"<{2 * used}Q", self._file.read(address + 24, 16 * used))
        for child in words[1::2]:
            yield from self._entries(child, found - 1) if found else self._symbols(child)

    def _symbols(self, address: int):
        self._take()
        mark, count = struct.unpack("<6sH", self._file.read(address, 8))
        if mark[:5] != b"SNOD\x01":
            raise CheckpointError(f"no table of objects at byte {address}; the file is damaged")
        table = self._file.read(address + 8, count * _ENTRY_BYTES)
        for offset, child, kind in (
            struct.unpack_from("<2QI", table, i * _ENTRY_BYTES) for i in range(count)
        ):
            if kind == 2:
                raise CheckpointError("a symbolic link, which Keras does not write")
            yield offset, child


def is_hdf5(head: bytes) -> bool:
    """Whether a file begins as HDF5 does."""
    return head.startswith(SIGNATURE)
