"""Search results: pictures, best first, with their cosines."""

import textwrap

import numpy as np

from keras_clip.plot.style import FAINT, SIZE, axes_at, bare, new_figure, shortened, wide, write
from keras_clip.plot.thumbnails import name_of, pixels_of, show

_CELL, _GAP, _BELOW, _EDGE = 1.5, 0.14, 0.26, 0.14  # inches
_TITLE = SIZE + 1.5


def search_grid(images, cosines, title=None, columns=None):
    """Draw found pictures, best first, each with its cosine and name: a matplotlib Figure.

    Args:
        images: list of n paths, bytes or PIL pictures.
        cosines: (n,) array.
        title: str or None. What was asked for.
        columns: pictures side by side; None: up to six.

    Raises:
        ValueError: no picture, or not as many cosines as pictures.
        ImportError: matplotlib is not installed.
    """
    cosines = np.asarray(cosines, "float32")
    if cosines.shape != (len(images),) or not cosines.size:
        raise ValueError(f"There are {len(images)} pictures and cosines of {cosines.shape}.")
    columns = min(columns or 6, len(images))
    rows = -(-len(images) // columns)
    width = columns * (_CELL + _GAP) - _GAP + 2 * _EDGE
    lines = textwrap.wrap(title or "", max(12, int((width - 2 * _EDGE) / wide("m", _TITLE))))
    head = 0.22 * len(lines) + 0.08 * bool(lines)
    figure = new_figure(width, head + rows * (_CELL + _BELOW + _GAP) - _GAP + 1.5 * _EDGE)
    if lines:
        above = bare(axes_at(figure, _EDGE, _EDGE, width - 2 * _EDGE, head))
        style = {"fontsize": _TITLE, "fontweight": "bold", "va": "top"}
        write(above, 0, 1, "\n".join(lines), **style)
    for number, (image, cosine) in enumerate(zip(images, cosines, strict=True)):
        row, column = divmod(number, columns)
        left = _EDGE + column * (_CELL + _GAP)
        top = _EDGE + head + row * (_CELL + _BELOW + _GAP)
        _result(figure, left, top, image, cosine)
    return figure


def _result(figure, left, top, image, cosine):
    pixels = pixels_of(image, 384)
    high, wide = pixels.shape[:2]
    scale = _CELL / max(high, wide)
    size = wide * scale, high * scale
    # All stand on one line, as on a shelf, whatever their proportions.
    show(axes_at(figure, left, top + _CELL - size[1], *size), pixels)
    below = bare(axes_at(figure, left, top + _CELL, _CELL, _BELOW))
    write(below, 0, 0.5, f"{cosine:.3f}", fontweight="bold")
    write(below, 1, 0.5, shortened(name_of(image), 14), ha="right", color=FAINT)
