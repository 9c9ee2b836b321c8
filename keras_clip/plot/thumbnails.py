"""Pictures inside of plots."""

import os
from pathlib import Path

import numpy as np

from keras_clip.plot.style import EDGE
from keras_clip.preprocessing.image_files import open_image
from keras_clip.preprocessing.images import over_white


def pixels_of(source, most=None):
    """One picture as it looks: (H, W, 3) uint8.

    Args:
        source: path, bytes, binary file object, PIL image, or uint8 array.
        most: longest side in pixels, or None. A larger picture is made smaller.

    Raises:
        ImageError: the picture cannot be used; the message names it.
    """
    image = over_white(open_image(source))
    if most:
        image = image.copy()
        image.thumbnail((most, most))
    return np.asarray(image)


def show(axes, pixels):
    """Draw pixels in a thin frame, without ticks."""
    axes.imshow(pixels, interpolation="antialiased")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(EDGE)
    return axes


def name_of(source):
    """A picture's file name, or nothing where it has none."""
    return Path(source).name if isinstance(source, (str, os.PathLike)) else ""
