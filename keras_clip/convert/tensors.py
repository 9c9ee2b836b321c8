"""Tensors on disk that are read one at a time, and the checkpoint that holds them."""

import copy
import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping

import ml_dtypes
import numpy as np

from keras_clip.convert.blobs import DeflatedBlob, FileBlob
from keras_clip.convert.errors import DAMAGE, CheckpointError

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

_MAX_RANK = 32
_MAX_NAME = 1024
# A view with stride 0 may hold more values than are stored; beyond this size it is an attack.
_MAX_REPEATED_BYTES = 64 * 2**20


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Where the values of a tensor lie in a blob.

    Args:
        shape: Sizes of the axes.
        dtype: Type as stored, byte order included.
        offset: Byte of the first value.
        strides: Steps along the axes in values, or None for row-major order.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int = 0
    strides: tuple[int, ...] | None = None

    @property
    def count(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def extent(self) -> int:
        """Number of stored values from the first to the last one used."""
        if self.strides is None or not self.count:
            return self.count
        return 1 + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))

    @property
    def is_row_major(self) -> bool:
        """Whether the values lie one after the other."""
        step = 1
        if self.strides is None or not self.count:
            return True
        for size, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if size != 1 and stride != step:
                return False
            step *= size
        return True

    def rows(self, start: int, stop: int) -> "Layout":
        """Where the rows from `start` to `stop` along the first axis lie."""
        step = self.strides[0] if self.strides is not None else math.prod(self.shape[1:])
        return dataclasses.replace(
            self,
            shape=(stop - start, *self.shape[1:]),
            offset=self.offset + start * step * self.dtype.itemsize,
        )

    def check(self, available: int) -> None:
        """Raises CheckpointError unless all values lie within `available` bytes."""
        if len(self.shape) > _MAX_RANK:
            raise CheckpointError(f"the shape has {len(self.shape)} axes; {_MAX_RANK} is the limit")
        if any(type(n) is not int or n < 0 for n in self.shape):
            raise CheckpointError("the shape holds a size that is not a whole number >= 0")
        if self.strides is not None:
            if len(self.strides) != len(self.shape):
                raise CheckpointError("the shape and the strides differ in length")
            if any(type(n) is not int or n < 0 for n in self.strides):
                raise CheckpointError("a stride is not a whole number >= 0")
        if type(self.offset) is not int or self.offset < 0:
            raise CheckpointError("the offset is not a whole number >= 0")
        item = self.dtype.itemsize
        if self.count * item > max(available, _MAX_REPEATED_BYTES) or max(
            self.shape, default=0
        ) > max(available, _MAX_REPEATED_BYTES):
            sizes = " x ".join(str(n) if n < 2**64 else "..." for n in self.shape)
            raise CheckpointError(
                f"the shape {sizes} needs more bytes than the {available} stored; "
                "the file is damaged or hostile"
            )
        if self.offset + self.extent * item > available:
            raise CheckpointError(
                f"shape {self.shape}, offset and stride reach byte "
                f"{self.offset + self.extent * item} of a storage of {available} bytes; "
                "the file is cut, damaged or hostile"
            )


class LazyTensor:
    """A named tensor on disk: shape and dtype are known, values are read on `read()`."""

    __slots__ = ("_blob", "_layout", "_path", "dtype", "name", "shape")

    def __init__(
        self, path: pathlib.Path, name: str, layout: Layout, blob: FileBlob | DeflatedBlob
    ):
        if len(name) > _MAX_NAME:
            raise CheckpointError(f"tensor {name[:40]!r}... has a name of {len(name)} characters")
        try:
            layout.check(blob.size)
        except CheckpointError as error:
            raise CheckpointError(f"tensor {name!r}: {error}") from None
        self._path = path
        self._layout = layout
        self._blob = blob
        self.name = name
        self.shape = layout.shape
        self.dtype = layout.dtype.newbyteorder("=")

    @property
    def nbytes(self) -> int:
        """Bytes of the values when read."""
        return self._layout.count * self.dtype.itemsize

    def renamed(self, name: str) -> "LazyTensor":
        """The same tensor under another name."""
        other = copy.copy(self)
        other.name = name
        return other

    @property
    def span(self) -> tuple[pathlib.Path, int, int]:
        """Which bytes of which file hold the values: (path, start, stop); not of packed ones."""
        start = self._blob.start + self._layout.offset
        return self._path, start, start + self._layout.extent * self.dtype.itemsize

    def read(self, rows: tuple[int, int] | None = None) -> np.ndarray:
        """Reads the values, `shape`, into a fresh array that the caller owns.

        Args:
            rows: (start, stop) along the first axis, to read no others; None for all.

        Raises:
            CheckpointError: The file was closed, or changed since it was opened.
        """
        try:
            return self._read(self._layout.rows(*rows) if rows else self._layout)
        except DAMAGE as error:
            raise CheckpointError(
                f"{self._path}: tensor {self.name!r} cannot be read: {error}"
            ) from error

    def _read(self, layout: Layout) -> np.ndarray:
        values = np.empty(layout.extent, layout.dtype)
        if values.size:
            self._blob.readinto(values.view(np.uint8).data, layout.offset)
        if not layout.dtype.isnative:
            values = values.byteswap(inplace=True).view(self.dtype)
        if layout.is_row_major:
            return values.reshape(layout.shape)
        steps = tuple(step * layout.dtype.itemsize for step in layout.strides)
        view = np.lib.stride_tricks.as_strided(values, layout.shape, steps)
        return np.array(view, order="C")

    def __repr__(self) -> str:
        return f"LazyTensor({self.name!r}, shape={self.shape}, dtype={self.dtype})"


class Checkpoint(Mapping):
    """The tensors of a checkpoint by name, read when asked for; a context manager.

    Args:
        path: The file or directory.
        format: "torchscript", "torch_zip", "torch_legacy", "safetensors", "npz" or "hdf5".
        tensors: The tensors by name, in the order of the file.
        metadata: Plain Python values found beside the tensors.
        on_close: Called once to free the files.
    """

    notes = ()  # lines for the user: what of the file was chosen, and what left out
    ignored = frozenset()  # names in the file that are left out because the user says so

    def __init__(
        self,
        path: pathlib.Path,
        format: str,
        tensors: dict[str, LazyTensor],
        metadata: dict,
        on_close: Callable[[], None],
    ):
        self.path = path
        self.format = format
        self.metadata = metadata
        self._tensors = tensors
        self._on_close = on_close

    def renamed(self, names: Mapping[str, str]) -> "Checkpoint":
        """The same file with tensors under other names, {name: new name}, and without others.

        Raises:
            CheckpointError: Two get the same name.
        """
        tensors, other = {}, copy.copy(self)
        for name, new in names.items():
            if new in tensors:
                first = next(old for old in names if names[old] == new)
                raise CheckpointError(
                    f"{self.path}: the tensors {first!r} and {name!r} have the same name, {new!r}, "
                    "without what wrappers put there; save one of them alone"
                )
            tensors[new] = self._tensors[name] if name == new else self[name].renamed(new)
        other._tensors = tensors
        return other

    def __getitem__(self, name: str) -> LazyTensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def close(self) -> None:
        """Frees the files; reading a tensor afterwards raises CheckpointError."""
        self._on_close()

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.path)!r}, format={self.format!r}, {len(self)} tensors)"
