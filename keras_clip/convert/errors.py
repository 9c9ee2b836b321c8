"""The one error that a checkpoint's content can cause."""

import struct
import zipfile
import zlib


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, hostile or not what it says it is.

    The message names the file, the tensor or member, what is wrong, and what to do next.
    """


class OtherKindError(CheckpointError):
    """A layout is for another kind of model; what else it lacks is of no interest then."""


class UnknownLayoutError(CheckpointError):
    """The names of the tensors are of no known layout; they may be without a prefix."""


class MissingTensorError(CheckpointError):
    """A tensor without which sizes cannot be told is not there, or under another name."""


# What the standard library and NumPy raise on damaged bytes. Readers check what they can name
# themselves; these are the rest, and are turned into a CheckpointError at the edge of a reader.
DAMAGE = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    EOFError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
