"""Maps over a picture: where a model looks, and where a text is."""

import numpy as np

from keras_clip.plot.style import (
    FAINT,
    axes_at,
    bare,
    new_figure,
    shortened,
    write,
)
from keras_clip.plot.thumbnails import pixels_of, show
from keras_clip.preprocessing.crop_box import peak_place, seen_box

_SIZE, _GAP, _EDGE, _HEAD = 2.3, 0.14, 0.12, 0.26  # inches
_PAPER, _FADED = 246, 0.8  # what a picture fades to where a map is lowest, and how far
_MOST_PIXELS = 768


def where(image, similarity, texts, config=None):
    """Draw where in a picture texts are, a panel a text: a matplotlib Figure.

    The picture has its colours where the cosine is high, on one scale for all texts; a ring is
    around the highest one.

    Args:
        image: path, bytes, PIL picture or uint8 array.
        similarity: (h, w, texts) cosines, as `keras_clip.models.dense_similarity` gives of one
            picture.
        texts: list of str.
        config: ImageConfig of the model, `clip.image_processor.config`, which says what of the
            picture it has seen; None: all of it.

    Raises:
        ValueError: the sizes do not agree.
        ImageError: the picture cannot be used; the message names it.
        ImportError: matplotlib is not installed.
    """
    maps = np.moveaxis(np.asarray(similarity, "float32"), -1, 0)
    if maps.ndim != 3 or len(maps) != len(texts) or not maps.size:
        raise ValueError(f"There are {len(texts)} texts and similarities of {maps.shape[:1]}.")
    notes = [f"{one.max():.2f}" for one in maps]
    return _panels(image, maps, texts, notes, config, rings=True)


def attention_map(image, weights, config=None):
    """Draw what each head looks at, a panel a head: a matplotlib Figure.

    Args:
        image: path, bytes, PIL picture or uint8 array.
        weights: (heads, h, w) attention over the grid, such as of `pooling_attention`.
        config: as of `where`.

    Raises:
        ValueError: the weights have another rank.
        ImageError: the picture cannot be used; the message names it.
        ImportError: matplotlib is not installed.
    """
    maps = np.asarray(weights, "float32")
    if maps.ndim != 3 or not maps.size:
        raise ValueError(f"weights has the shape (heads, h, w), not {maps.shape}.")
    names = [f"head {number}" for number in range(len(maps))]
    return _panels(image, maps, names, _shares(maps), config)


def attention_rollout(image, rollout, config=None, title="attention rollout"):
    """Draw what a model's output has looked at, through all layers: a matplotlib Figure.

    Args:
        image: path, bytes, PIL picture or uint8 array.
        rollout: (h, w), as `keras_clip.models.attention_rollout` gives of one picture.
        config: as of `where`.
        title: str.

    Raises:
        ValueError: the rollout has another rank.
        ImageError: the picture cannot be used; the message names it.
        ImportError: matplotlib is not installed.
    """
    maps = np.asarray(rollout, "float32")[None]
    if maps.ndim != 3 or not maps.size:
        raise ValueError(f"rollout has the shape (h, w), not {maps.shape[1:]}.")
    return _panels(image, maps, [title], _shares(maps), config)


def lit(pixels, values, box):
    """A picture in its colours where a map is high, pale and grey elsewhere: (H, W, 3) uint8.

    Args:
        pixels: (H, W, 3) uint8.
        values: (h, w) from 0 to 1, one a cell of the grid.
        box: (left, top, right, bottom) of the grid on the picture, in pixels.
    """
    from PIL import Image

    left, top, right, bottom = (round(side) for side in box)
    grid = Image.fromarray(np.asarray(values, "float32"))
    smooth = grid.resize((right - left, bottom - top), Image.Resampling.BICUBIC)
    light = np.zeros(pixels.shape[:2], "float32")
    # Squared, since half of the highest value is to look like little of it.
    light[top:bottom, left:right] = np.clip(np.asarray(smooth), 0, 1) ** 2
    grey = np.asarray(Image.fromarray(pixels).convert("L"), "float32")[..., None]
    pale = _PAPER * _FADED + grey * (1 - _FADED)
    return np.round(pale + (pixels - pale) * light[..., None]).astype("uint8")


def _panels(image, maps, names, notes, config, rings=False):
    """The picture, and beside it each map over it; rows of at most five."""
    pixels = pixels_of(image, _MOST_PIXELS)
    high, wide = pixels.shape[:2]
    box = seen_box(config, high, wide)
    across, down = (_SIZE * side / max(high, wide) for side in (wide, high))
    columns = min(len(maps) + 1, 5)
    rows = -(-(len(maps) + 1) // columns)
    figure = new_figure(
        columns * (across + _GAP) - _GAP + 2 * _EDGE, rows * (down + _HEAD + _GAP) - _GAP + _EDGE
    )
    low, span = float(maps.min()), float(np.ptp(maps)) or 1.0
    for number in range(len(maps) + 1):
        row, column = divmod(number, columns)
        left, above = _EDGE + column * (across + _GAP), row * (down + _HEAD + _GAP)
        axes = axes_at(figure, left, above + _HEAD, across, down)
        if not number:
            show(axes, pixels)
            continue
        values = maps[number - 1]
        show(axes, lit(pixels, (values - low) / span, box))
        head = bare(axes_at(figure, left, above, across, _HEAD))
        name = shortened(names[number - 1], int(across / 0.09))
        write(head, 0, 0.42, name, fontweight="bold")
        write(head, 1, 0.42, notes[number - 1], ha="right", color=FAINT)
        if rings:
            _ring(axes, peak_place(values, box))
    return figure


def _ring(axes, place):
    for colour, width in (("black", 2.6), ("white", 1.3)):
        style = {"markersize": 11, "fillstyle": "none", "markeredgewidth": width}
        axes.plot(*place, "o", color=colour, **style)


def _shares(maps):
    return [f"{100 * one.max():.0f} %" for one in maps]
