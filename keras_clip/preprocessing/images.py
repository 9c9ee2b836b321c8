"""Pictures to normalised pixels, byte for byte as the official transforms make them."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_clip.preprocessing.image_config import ImageConfig
from keras_clip.preprocessing.image_files import ImageError, open_image

_FEWEST_FOR_THREADS = 4


class ImageProcessor:
    """Pictures of any kind -> (n, H, W, 3) float32, normalised.

    Args:
        config: ImageConfig, None for OpenAI's at 224 pixels.
        max_workers: threads that decode a list, None for one a core.

    Source: openai/CLIP `clip/clip.py`, `_transform`.
    """

    def __init__(self, config=None, max_workers=None):
        self.config = ImageConfig() if config is None else config
        if not isinstance(self.config, ImageConfig):
            raise TypeError(f"config must be an ImageConfig, got {type(config).__name__}.")
        self.max_workers = max_workers or core_count()

    def __repr__(self):
        return f"ImageProcessor({self.config!r})"

    def __call__(self, images):
        """Read, resize, crop and normalise.

        Args:
            images: one picture or a list of them, mixed kinds allowed: path, bytes, binary file
                object, PIL image, uint8 array (H, W, 3) or (H, W). Or a batch (n, H, W, 3) uint8.

        Returns:
            (n, H, W, 3) float32 NumPy array.

        Raises:
            ImageError: an empty list, or a picture that cannot be used; the message names it.
            TypeError: something else than a picture.
        """
        images = as_list(images)
        pixels = np.empty((len(images), *self.config.size, 3), dtype="float32")

        def fill(number):
            name = f"Image {number}" if len(images) > 1 else None
            pixels[number] = self.pixels(images[number], name)

        run_threads(fill, len(images), self.max_workers)
        return normalize(pixels, self.config)

    def pixels(self, image, name=None):
        """The pixels of one picture before normalisation.

        Args:
            image: path, bytes, binary file object, PIL image, or uint8 array.
            name: what error messages call a picture that has no path.

        Returns:
            (H, W, 3) uint8 NumPy array.

        Raises:
            ImageError: the picture cannot be used; the message names it.
        """
        return transformed(image, name, self._cropped)

    def _cropped(self, image):
        config = self.config
        height, width = config.resized(image.height, image.width)
        image = resized(image, height, width, config)
        if (height, width) != config.size:
            top, left = config.offsets(height, width)
            h, w = config.size
            image = image.crop((left, top, left + w, top + h))
        return to_rgb(image)


def run_threads(function, count, workers):
    """Call `function(number)` for every number below `count`, in threads where that pays."""
    workers = min(workers, count)
    if workers > 1 and count >= _FEWEST_FOR_THREADS:
        # Pillow lets go of the interpreter while it decodes and resizes.
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(function, range(count)))
    else:
        for number in range(count):
            function(number)


def transformed(source, name, transform):
    """Open one picture and transform it: (H, W, 3) uint8.

    Args:
        source: path, bytes, binary file object, PIL image, or uint8 array.
        name: what error messages call a picture that has no path.
        transform: function from a PIL image to one in RGB.

    Raises:
        ImageError: the picture cannot be used; the message names it.
    """
    opened = open_image(source, name)
    try:
        return np.array(transform(opened))
    except (ValueError, OSError, MemoryError) as error:
        label = os.fspath(source) if isinstance(source, (str, os.PathLike)) else name
        raise ImageError(
            f"{label or 'The image'}: cannot convert a picture of mode {opened.mode!r} and "
            f"size {opened.width} x {opened.height}: {error}."
        ) from error


def resized(image, height, width, config):
    """Return a PIL image of another size, converted to RGB before where the config says so."""
    from PIL import Image

    if config.color == "first":
        image = over_white(image)
    how = Image.Resampling[config.interpolation.upper()]
    if height < image.height and width > image.width and "A" not in image.getbands():
        # Pillow 13 shrinks the rows before it widens the columns, and 12 did so afterwards: this
        # way both give the same pixels. Alpha, which is premultiplied, would be rounded twice.
        image = image.resize((image.width, height), how)
    # Pillow itself takes the nearest pixel for palettes and 1 bit, and premultiplies alpha.
    return image.resize((width, height), how)


def normalize(pixels, config):
    """Scale pixels of 0 to 255 to what the model wants, in place: (..., W, 3) float32."""
    # The official order of operations in float32, so that the last bits agree; over whole rows of
    # pixels, since NumPy takes twice as long where the last axis is three numbers.
    rows = pixels.reshape(*pixels.shape[:-2], -1)
    rows /= np.float32(255)
    rows -= np.tile(np.asarray(config.mean, dtype="float32"), pixels.shape[-2])
    rows /= np.tile(np.asarray(config.std, dtype="float32"), pixels.shape[-2])
    return rows.reshape(pixels.shape)


def to_rgb(image):
    """The picture in RGB, without regard to what is transparent."""
    if image.mode == "RGB":
        return image
    if image.mode == "La":  # Pillow knows no direct way
        image = image.convert("LA")
    if isinstance(image.info.get("transparency"), bytes):
        # It has no part in the colours, but Pillow warns about it.
        image = image.copy()
        del image.info["transparency"]
    return image.convert("RGB")


def over_white(image):
    """The picture in RGB, what is transparent laid over white as transformers does it."""
    from PIL import Image

    if image.mode == "La":
        image = image.convert("LA")
    if "A" not in image.getbands() and image.info.get("transparency") is None:
        return to_rgb(image)
    background = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(background, image.convert("RGBA")).convert("RGB")


def as_list(images):
    """The pictures as a list, one entry a picture."""
    if hasattr(images, "__array__") and hasattr(images, "shape"):
        array = np.asarray(images)
        if array.ndim != 4 and array.dtype.kind not in "UO":
            return [array]
        images = array
    elif not isinstance(images, (list, tuple)):
        return [images]
    images = list(images)
    if not images:
        raise ImageError("Expected at least one image, got an empty list.")
    return images


def core_count():
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
