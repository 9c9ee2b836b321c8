"""Which part of a picture a model sees, and where the cells of its grid are."""

import numpy as np

from keras_clip.preprocessing.image_config import ImageConfig


def seen_box(config, height, width):
    """The part of a picture that reaches the model: (left, top, right, bottom) in its own pixels.

    Args:
        config: ImageConfig, or a NaFlexImageConfig or None, with which all of it does.
        height, width: of the picture, in pixels.
    """
    if not isinstance(config, ImageConfig):
        return 0.0, 0.0, float(width), float(height)
    down, across = config.resized(height, width)
    top, left = config.offsets(down, across)
    high, wide = config.size
    right, bottom = (left + wide) * width / across, (top + high) * height / down
    return left * width / across, top * height / down, right, bottom


def peak_place(values, box):
    """Where a map is highest: (x, y), the middle of that cell in pixels of the picture.

    Args:
        values: (h, w) array, one a cell of the grid.
        box: (left, top, right, bottom) of the grid on the picture, as of `seen_box`.
    """
    row, column = np.unravel_index(np.argmax(values), np.shape(values))
    left, top, right, bottom = box
    x = left + (column + 0.5) * (right - left) / np.shape(values)[1]
    y = top + (row + 0.5) * (bottom - top) / np.shape(values)[0]
    return float(x), float(y)
