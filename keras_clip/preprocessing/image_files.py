"""One picture from a path, bytes, a file object, PIL or NumPy; every failure names it."""

import io
import os

import numpy as np

# Pillow warns from this size on; at 4 bytes a pixel, decoding and one copy stay below 1 GB.
MAX_PIXELS = 89_478_485


class ImageError(ValueError):
    """A picture that cannot be used; the message names it."""


def open_image(source, name=None):
    """Open and decode the first frame of one picture, in the file's own mode.

    Args:
        source: path, bytes, binary file object, PIL image, or uint8 array (H, W, 3) or (H, W).
        name: what error messages call a picture that has no path.

    Returns:
        A decoded `PIL.Image.Image`; EXIF orientation is ignored, as in the reference.

    Raises:
        ImageError: missing, damaged, too large, or an array of another kind.
        TypeError: something else than a picture.
    """
    from PIL import Image

    if isinstance(source, Image.Image):
        return _decoded(source, name or "The PIL image")
    if isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
        try:
            with open(source, "rb") as file:
                return _opened(file, name)
        except OSError as error:
            raise ImageError(f"{name}: cannot open the file: {error.strerror or error}.") from error
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _opened(io.BytesIO(source), name or "The image bytes")
    if hasattr(source, "read"):
        return _opened(source, getattr(source, "name", None) or name or "The image file")
    if hasattr(source, "__array__"):
        return Image.fromarray(checked_array(np.asarray(source), name or "The image array"))
    raise TypeError(
        f"{name or 'The image'}: expected a path, bytes, a file object, a PIL image or a NumPy "
        f"array, got {type(source).__name__}."
    )


def checked_array(array, name):
    """The array itself if it is one uint8 picture, (H, W, 3) or (H, W).

    Args:
        array: NumPy array.
        name: what error messages call it.

    Raises:
        ImageError: another type, rank, number of channels, or no pixel.
    """
    if array.dtype != np.uint8:
        hint = " Give raw pixels from 0 to 255: the processor scales and normalises."
        raise ImageError(f"{name}: expected dtype uint8, got {array.dtype}.{hint}")
    if array.ndim not in (2, 3):
        raise ImageError(f"{name}: expected shape (H, W, 3) or (H, W), got {array.shape}.")
    if array.ndim == 3 and array.shape[-1] != 3:
        hint = " Move the channels last." if array.shape[0] == 3 else ""
        raise ImageError(f"{name}: expected 3 channels, (H, W, 3), got shape {array.shape}.{hint}")
    if not array.size:
        raise ImageError(f"{name}: the picture has no pixel, its shape is {array.shape}.")
    return np.ascontiguousarray(array)


def _opened(file, name):
    from PIL import Image

    try:
        image = Image.open(file)
    except Exception as error:  # Pillow's plugins raise a dozen kinds for damaged files
        raise ImageError(f"{name}: not a readable image: {_reason(error)}.") from error
    if image.format == "EPS":
        # Decoding PostScript runs a program, Ghostscript, on what may be a stranger's file.
        raise ImageError(f"{name}: PostScript is not read; convert it to PNG first.")
    return _decoded(image, name)


def _decoded(image, name):
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name}: {width} x {height} pixels are more than the {MAX_PIXELS:,} allowed; "
            "make it smaller first."
        )
    if not width * height:
        raise ImageError(f"{name}: the picture has no pixel, its size is {width} x {height}.")
    try:
        image.load()
    except Exception as error:  # as above: truncated data shows only now
        raise ImageError(f"{name}: damaged image data: {_reason(error)}.") from error
    return image


def _reason(error):
    """What Pillow says, without the name of a buffer or a full stop."""
    text = str(error).split(" <_io.")[0].rstrip(".")
    return text or type(error).__name__
