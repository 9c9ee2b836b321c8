"""What the messages in an HDF5 object header say of an array: shape, dtype, place.

Source: HDF5 File Format Specification, version 3.0, section IV.A.2.
"""

import struct

import numpy as np

from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.tensors import BFLOAT16

DATASPACE, DATATYPE, LAYOUT, CONTINUATION, GROUP = 0x01, 0x03, 0x08, 0x10, 0x11
# What would lead out of the file, or has to be unpacked.
UNREAD = {
    0x02: "links of a newer kind",
    0x06: "links of a newer kind",
    0x07: "values in other files",
    0x0B: "compressed values",
}
_INTEGERS, _FLOATS, _OPAQUE, _ENUMERATED = 0, 1, 5, 8
# Sign bit, then exponent and mantissa: place and width of each, as IEEE 754 has them.
_IEEE = {2: (10, 5, 0, 10, 15), 4: (23, 8, 0, 23, 127), 8: (52, 11, 0, 52, 1023)}
_MAX_RANK = 32


def shape_of(message: bytes) -> tuple[int, ...]:
    """Returns the shape that a dataspace message states."""
    version, rank = message[0], message[1]
    if version not in (1, 2) or rank > _MAX_RANK or (version == 2 and message[3] == 2):
        raise CheckpointError("its shape is damaged, or it has none")
    start = 8 if version == 1 else 4
    if len(message) < start + 8 * rank:
        raise CheckpointError("its shape is cut")
    return struct.unpack_from(f"<{rank}Q", message, start)


def dtype_of(message: bytes) -> np.dtype:
    """Returns the dtype of a datatype message: integers, IEEE floats, bfloat16, booleans."""
    kind, bits, size = message[0] & 15, message[1], int.from_bytes(message[4:8], "little")
    order = ">" if bits & 1 else "<"
    if kind == _OPAQUE and size == 2:  # what h5py makes of bfloat16
        return BFLOAT16
    if kind == _ENUMERATED and size == 1:  # what h5py makes of booleans
        return np.dtype("?")
    if kind == _INTEGERS and size in (1, 2, 4, 8) and message[8:12] == _precision(size):
        return np.dtype(f"{order}{'i' if bits & 8 else 'u'}{size}")
    if kind == _FLOATS and size in _IEEE and message[8:12] == _precision(size):
        *fields, bias = struct.unpack("<4BI", message[12:20].ljust(8, b"\0"))
        if (*fields, bias) == _IEEE[size] and not bits & 0x40:
            return np.dtype(f"{order}f{size}")
        if size == 2 and (*fields, bias) == (7, 8, 0, 7, 127) and order == "<":
            return BFLOAT16
    raise CheckpointError(f"its type, of class {kind} and {size} bytes, is not read")


def place_of(message: bytes) -> tuple[int, int]:
    """Returns (address, bytes) of values that lie in one piece."""
    version, kind = message[0], message[1]
    if version not in (3, 4) or kind != 1:
        raise CheckpointError(
            "its values are in chunks or inside the header, which Keras does not write"
        )
    return struct.unpack("<2Q", message[2:18].ljust(16, b"\0"))


def _precision(size: int) -> bytes:
    """Bit offset 0 and all bits in use."""
    return struct.pack("<2H", 0, 8 * size)
