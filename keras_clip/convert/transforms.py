"""How a tensor in a file becomes a weight, and back: permutation, shape and place."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

# Transposing in stripes keeps both sides in the cache; 1.5x the speed of one large copy.
_STRIPE = 128


@dataclass(frozen=True)
class Transform:
    """One tensor of a file against one weight, or one piece of it.

    Args:
        source_shape: function of the weight's (or piece's) shape, giving the file's.
        permutation: order of the file's axes in the weight, or None; a reshape follows.
        piece: (k, n, axis): the tensor is the k-th of n equal pieces of the weight along an
            axis. None: it is the whole.
        share: (start, stop, n): only the pieces start to stop belong to this weight, of n equal
            pieces of the tensor along its first axis. None: all of it does.
    """

    source_shape: Callable = tuple
    permutation: tuple | None = None
    piece: tuple | None = None
    share: tuple | None = None

    def place(self, shape):
        """Return the slices that this tensor fills in a weight of `shape`."""
        places = [slice(None)] * len(shape)
        if self.piece:
            k, n, axis = self.piece
            size = shape[axis] // n
            places[axis] = slice(k * size, (k + 1) * size)
        return tuple(places)

    def file_shape(self, shape):
        """Return the shape in the file, of a tensor that belongs to a weight of `shape`."""
        own = tuple(self.source_shape(self._piece_shape(shape)))
        if not self.share:
            return own
        start, stop, n = self.share
        return (own[0] * n // (stop - start), *own[1:])

    def file_rows(self, shape):
        """Return (start, stop) of what belongs to this weight, of a file's tensor of `shape`."""
        start, stop, n = self.share or (0, 1, 1)
        return shape[0] * start // n, shape[0] * stop // n

    def read(self, values, out):
        """Put a file's values, or their share, into the weight `out`, in `out`'s dtype."""
        target = out[self.place(out.shape)] if self.piece else out
        if self.permutation:
            values = values.transpose(self.permutation)
        _copy(values.reshape(target.shape), target)

    def write(self, weight):
        """Return the file's values, or this share of them, for a weight; a view if possible."""
        values = weight[self.place(weight.shape)] if self.piece else weight
        shape = self.source_shape(values.shape)
        if not self.permutation:
            return values.reshape(shape)
        permuted = tuple(shape[axis] for axis in self.permutation)
        return values.reshape(permuted).transpose(np.argsort(self.permutation))

    def _piece_shape(self, shape):
        if not self.piece:
            return tuple(shape)
        _, n, axis = self.piece
        return tuple(size // n if i == axis % len(shape) else size for i, size in enumerate(shape))


def _copy(values, out):
    if values.ndim != 2 or values.flags.c_contiguous:
        np.copyto(out, values)
        return
    for start in range(0, values.shape[1], _STRIPE):
        out[:, start : start + _STRIPE] = values[:, start : start + _STRIPE]


# The weight as it is.
SAME = Transform()
# PyTorch's (out, in) against a Dense kernel (in, out).
LINEAR = Transform(lambda shape: shape[::-1], (1, 0))
# PyTorch's (out, in, h, w) against (h, w, in, out).
CONV = Transform(lambda shape: (shape[3], shape[2], shape[0], shape[1]), (2, 3, 1, 0))
# A weight with a leading axis of 1 that the file leaves out, or the other way round.
UNBATCHED = Transform(lambda shape: shape[1:])
BATCHED = Transform(lambda shape: (1, *shape))


def part(k, n, transform=SAME, axis=-1):
    """The k-th of n equal pieces of the weight along `axis`, each brought by `transform`."""
    return replace(transform, piece=(k, n, axis))


def share(start, stop, n, transform=SAME):
    """The pieces start to stop, of n equal ones of the file's tensor, brought by `transform`."""
    return replace(transform, share=(start, stop, n))


def stacked(i, n, transform=SAME):
    """The i-th of n layers that the file stacks on a new first axis, brought by `transform`."""
    order = transform.permutation
    return replace(
        transform,
        source_shape=lambda shape: (1, *transform.source_shape(shape)),
        permutation=order and (0, *(axis + 1 for axis in order)),
        share=(i, i + 1, n),
    )


def split_heads(num_heads):
    """Flax's (..., heads, head_dim) against (..., heads * head_dim)."""
    return Transform(lambda shape: (*shape[:-1], num_heads, shape[-1] // num_heads))


def merge_heads(num_heads):
    """Flax's (heads, head_dim, out) against (heads * head_dim, out)."""
    return Transform(lambda shape: (num_heads, shape[0] // num_heads, *shape[1:]))
