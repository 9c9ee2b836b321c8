"""Pictures of any shape to patches: as many as fit, the proportions kept (NaFlex)."""

import math
from dataclasses import dataclass

import numpy as np

from keras_clip.preprocessing.image_config import ImageSettings, check_choices, three_numbers
from keras_clip.preprocessing.images import (
    as_list,
    core_count,
    normalize,
    resized,
    run_threads,
    to_rgb,
    transformed,
)

# The official search for the scale ends where its bounds are this close.
_SCALE_STEP = 1e-5
_LARGEST_SCALE = 100.0


@dataclass(frozen=True)
class NaFlexImageConfig(ImageSettings):
    """How a NaFlex model wants its pictures.

    Args:
        patch_size: (height, width) of a patch in pixels; both are equal.
        max_patches: most patches of a picture; the sequence is filled up to this length.
        mean: three numbers, subtracted from pixels in 0..1.
        std: three positive numbers, divided by afterwards.
        interpolation: "bilinear" or "bicubic", both with antialiasing.
        color: as in `ImageConfig`.

    Raises:
        ValueError: a value is out of range.
    """

    patch_size: tuple = (16, 16)
    max_patches: int = 256
    mean: tuple = (0.5, 0.5, 0.5)
    std: tuple = (0.5, 0.5, 0.5)
    interpolation: str = "bilinear"
    color: str = "first"

    def __post_init__(self):
        object.__setattr__(self, "patch_size", tuple(self.patch_size))
        if not isinstance(self.max_patches, int) or self.max_patches < 1:
            raise ValueError(f"max_patches is a positive integer, not {self.max_patches!r}.")
        for name in ("mean", "std"):
            object.__setattr__(self, name, three_numbers(name, getattr(self, name)))
        check_choices(self, ("interpolation", "color"))

    def grid(self, height, width):
        """Patches down and across for a picture of (height, width) in pixels.

        Source: google-research/big_vision `pp/proj/image_text/ops_naflex.py`.
        """
        patch = self.patch_size[0]
        low, high = _SCALE_STEP / 10, _LARGEST_SCALE
        while high - low >= _SCALE_STEP:
            scale = (low + high) / 2
            down, across = (_cells(side, scale, patch) for side in (height, width))
            low, high = (scale, high) if down * across <= self.max_patches else (low, scale)
        return _cells(height, low, patch), _cells(width, low, patch)


class NaFlexImageProcessor:
    """Pictures of any kind -> patches of each, at its own proportions.

    Args:
        config: NaFlexImageConfig.
        max_workers: threads that decode a list, None for one a core.

    Source: huggingface/transformers `image_processing_pil_siglip2.py`.
    """

    def __init__(self, config=None, max_workers=None):
        self.config = NaFlexImageConfig() if config is None else config
        if not isinstance(self.config, NaFlexImageConfig):
            raise TypeError(f"config must be a NaFlexImageConfig, got {type(config).__name__}.")
        self.max_workers = max_workers or core_count()

    def __repr__(self):
        return f"NaFlexImageProcessor({self.config!r})"

    def __call__(self, images):
        """Read, resize, normalise and cut into patches, row by row.

        Args:
            images: as of `ImageProcessor`.

        Returns:
            {"patches": (n, max_patches, height * width * 3) float32, zero behind a picture's last
            patch, "grid_sizes": (n, 2) int32, its patches down and across}.

        Raises:
            ImageError: an empty list, or a picture that cannot be used; the message names it.
            TypeError: something else than a picture.
        """
        images, config = as_list(images), self.config
        ph, pw = config.patch_size
        patches = np.zeros((len(images), config.max_patches, ph * pw * 3), "float32")
        grids = np.empty((len(images), 2), "int32")

        def fill(number):
            name = f"Image {number}" if len(images) > 1 else None
            pixels = self.pixels(images[number], name).astype("float32")
            down, across = grids[number] = pixels.shape[0] // ph, pixels.shape[1] // pw
            pixels = normalize(pixels, config).reshape(down, ph, across, pw, 3)
            cut = pixels.transpose(0, 2, 1, 3, 4).reshape(down * across, -1)
            patches[number, : len(cut)] = cut

        run_threads(fill, len(images), self.max_workers)
        return {"patches": patches, "grid_sizes": grids}

    def pixels(self, image, name=None):
        """The pixels of one picture before normalisation: whole patches of it.

        Args:
            image: path, bytes, binary file object, PIL image, or uint8 array.
            name: what error messages call a picture that has no path.

        Returns:
            (H, W, 3) uint8 NumPy array.

        Raises:
            ImageError: the picture cannot be used; the message names it.
        """
        return transformed(image, name, self._scaled)

    def _scaled(self, image):
        down, across = self.config.grid(image.height, image.width)
        ph, pw = self.config.patch_size
        return to_rgb(resized(image, down * ph, across * pw, self.config))


def _cells(side, scale, patch):
    return max(math.ceil(side * scale / patch), 1)
