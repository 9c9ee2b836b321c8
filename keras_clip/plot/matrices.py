"""Which text fits which picture: a matrix of cosines below the pictures."""

import textwrap

import numpy as np

from keras_clip.plot.style import (
    SIZE,
    axes_at,
    bare,
    greens,
    ink_on,
    new_figure,
    shortened,
    wide,
    write,
)
from keras_clip.plot.thumbnails import pixels_of, show

_EDGE = 0.12  # inches, as all sizes here
_CELL = 0.66
_LINE = 52  # characters of a text before it goes on below


def similarity_matrix(images, texts, cosines):
    """Draw cosines of pictures (columns) and texts (rows), the pictures on top: a Figure.

    The best text of each picture is in bold.

    Args:
        images: list of n paths, bytes or PIL pictures.
        texts: list of m str.
        cosines: (n, m) array.

    Raises:
        ValueError: the sizes do not agree.
        ImportError: matplotlib is not installed.
    """
    cosines = np.asarray(cosines, "float32")
    if cosines.shape != (len(images), len(texts)) or not cosines.size:
        raise ValueError(
            f"cosines has the shape {cosines.shape}, but there are {len(images)} pictures and "
            f"{len(texts)} texts."
        )
    texts = ["\n".join(textwrap.wrap(shortened(text, 2 * _LINE), _LINE)) for text in texts]
    longest = max((line for text in texts for line in text.split("\n")), key=len)
    left, row = _EDGE + wide(longest) + 0.1, 0.44
    figure = new_figure(left + _CELL * len(images) + _EDGE, _CELL + row * len(texts) + 2 * _EDGE)
    for column, image in enumerate(images):
        place = left + _CELL * column + 0.02, _EDGE, _CELL - 0.04, _CELL - 0.04
        show(axes_at(figure, *place), pixels_of(image, 256))
    top = _EDGE + _CELL
    axes = axes_at(figure, left, top, _CELL * len(images), row * len(texts))
    _cells(axes, cosines.T)
    beside = bare(axes_at(figure, 0, top, left - 0.1, row * len(texts)))
    beside.set_ylim(len(texts) - 0.5, -0.5)
    for number, text in enumerate(texts):
        write(beside, 1, number, text, ha="right", linespacing=1.15)
    return figure


def _cells(axes, values):
    low, high = float(values.min()), float(values.max())
    colours = greens()
    axes.imshow(values, cmap=colours, aspect="auto", vmin=low, vmax=high)
    bare(axes)
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        share = (value - low) / ((high - low) or 1)
        best = value == values[:, column].max()
        write(
            axes, column, row, f"{value:.2f}", ha="center", fontsize=SIZE - 1,
            color=ink_on(colours, share), fontweight="bold" if best else "normal",
        )  # fmt: skip
    for line in np.arange(1, values.shape[1]) - 0.5:
        axes.axvline(line, color="white", linewidth=1.5)
    for line in np.arange(1, values.shape[0]) - 0.5:
        axes.axhline(line, color="white", linewidth=1.5)
