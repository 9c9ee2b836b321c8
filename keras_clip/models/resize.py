"""Learned positions for another grid: resampled once, when loading, in NumPy."""

import math
from functools import partial

import numpy as np


def resize_positions(embeddings, num_prefix_tokens, old_grid, new_grid, method):
    """Resample a table of positions: (P + h*w, D) -> (P + H*W, D), float32.

    The first P rows belong to the prefix tokens and stay as they are.

    Args:
        embeddings: array (P + h*w, D).
        num_prefix_tokens: int. P, tokens without a place in the grid.
        old_grid: (h, w) in patches.
        new_grid: (H, W) in patches.
        method: `bicubic_antialias` (OpenCLIP, DINOv2 with registers), `bicubic` (transformers),
            `bilinear_aligned` (Google's ViT) or `bicubic_offset` (DINOv2).

    Raises:
        ValueError: the method is unknown, or the table does not have P + h*w rows.

    Source: torch.nn.functional.interpolate, scipy.ndimage.zoom, both with separable kernels.
    """
    if method not in METHODS:
        raise ValueError(f"position_resize is one of {sorted(METHODS)}, not {method!r}.")
    rows = num_prefix_tokens + math.prod(old_grid)
    if len(embeddings) != rows:
        raise ValueError(
            f"The table has {len(embeddings)} positions, but a grid of {tuple(old_grid)} and "
            f"{num_prefix_tokens} prefix tokens need {rows}."
        )
    if tuple(old_grid) == tuple(new_grid):
        return np.asarray(embeddings, "float32")
    prefix = np.asarray(embeddings[:num_prefix_tokens], "float32")
    grid = np.asarray(embeddings[num_prefix_tokens:], "float64").reshape(*old_grid, -1)
    down, across = (METHODS[method](o, n) for o, n in zip(old_grid, new_grid, strict=True))
    grid = np.einsum("Hh,hwd->Hwd", down, grid, optimize=True)
    grid = np.einsum("Ww,Hwd->HWd", across, grid, optimize=True)
    return np.concatenate([prefix, grid.reshape(-1, grid.shape[-1]).astype("float32")])


def position_adaptation(stored, wanted, prefix=""):
    """Return what the table engine needs to load one tower's positions for another image size.

    Args:
        stored: ViTConfig of the checkpoint.
        wanted: ViTConfig of the model that is filled.
        prefix: str. The tower's part of the weight names, such as `vision/`.

    Returns:
        {} where the grids agree, else {weight name: (shape in the file, function)}.
    """
    if stored.grid_size == wanted.grid_size:
        return {}
    rows = stored.num_position_tokens + math.prod(stored.grid_size)
    resample = partial(
        resize_positions,
        num_prefix_tokens=stored.num_position_tokens,
        old_grid=stored.grid_size,
        new_grid=wanted.grid_size,
        method=stored.position_resize,
    )
    return {f"{prefix}position_embedding/embeddings": ((rows, stored.hidden_dim), resample)}


def _cubic(x, a):
    """Keys' cubic convolution kernel at distances `x`."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _bicubic_antialias(old, new):
    """(new, old) weights; shrinking widens the kernel, borders are renormalised."""
    scale = old / new
    stretch = max(scale, 1.0)
    centers = (np.arange(new) + 0.5) * scale
    weights = np.zeros((new, old))
    for row, center in zip(weights, centers, strict=True):
        # Only pixels whose index range torch visits count, even where the kernel is not yet 0.
        first = max(int(center - 2 * stretch + 0.5), 0)
        last = min(int(center + 2 * stretch + 0.5), old)
        row[first:last] = _cubic((np.arange(first, last) + 0.5 - center) / stretch, a=-0.5)
    return weights / weights.sum(axis=1, keepdims=True)


def _bicubic(old, new, scale=None):
    """(new, old) weights of four taps; taps beyond a border repeat the edge."""
    positions = (np.arange(new) + 0.5) * (scale or old / new) - 0.5
    left = np.floor(positions).astype(int)
    weights = np.zeros((new, old))
    for tap in range(-1, 3):
        columns = np.clip(left + tap, 0, old - 1)
        np.add.at(weights, (np.arange(new), columns), _cubic(positions - left - tap, a=-0.75))
    return weights


def _bicubic_offset(old, new):
    """As `_bicubic`, at DINOv2's slightly wrong scale: its weights were evaluated with it."""
    return _bicubic(old, new, scale=old / (new + 0.1))


def _bilinear_aligned(old, new):
    """(new, old) weights; the corners of both grids coincide."""
    positions = np.linspace(0, old - 1, new) if new > 1 else np.zeros(1)
    left = np.minimum(np.floor(positions).astype(int), max(old - 2, 0))
    weights = np.zeros((new, old))
    rows = np.arange(new)
    np.add.at(weights, (rows, left), 1 - (positions - left))
    np.add.at(weights, (rows, np.minimum(left + 1, old - 1)), positions - left)
    return weights


METHODS = {
    "bicubic_antialias": _bicubic_antialias,
    "bicubic": _bicubic,
    "bicubic_offset": _bicubic_offset,
    "bilinear_aligned": _bilinear_aligned,
}
