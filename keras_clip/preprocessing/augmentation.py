"""Random crops, flips and colours of pictures that a model is trained on."""

import io
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_clip.preprocessing.image_config import ImageSettings
from keras_clip.preprocessing.images import normalize, resized, to_rgb, transformed

_TRIES = 10
_RATES = ("flip_rate", "color_jitter_rate", "gray_rate")


@dataclass(frozen=True)
class Augmentation(ImageSettings):
    """How pictures are changed at random in training; the defaults are open_clip's.

    Args:
        scale: (least, most) share of the picture's area that is seen, in (0, 1].
        ratio: (least, most) width / height of the part that is seen, before it is squashed to the
            model's size.
        interpolation: "bicubic" or "bilinear", both with antialiasing.
        flip_rate: probability that left and right are swapped; captions may speak of them.
        color_jitter: (brightness, contrast, saturation, hue): factors are drawn from 1 - x to
            1 + x (0 at least), the hue turns by -x to x of a whole turn (x at most 0.5); the four
            come in random order.
        color_jitter_rate: probability of that.
        gray_rate: probability that all colour is lost.
        fast_decode: whether large JPEGs are decoded at a half, a quarter or an eighth of their size
            where that suffices: much faster, with pixels a little different.

    Raises:
        ValueError: a value is out of range.

    Reference: torchvision `RandomResizedCrop`, `ColorJitter`; open_clip `transform.py`.
    """

    scale: tuple = (0.9, 1.0)
    ratio: tuple = (3 / 4, 4 / 3)
    interpolation: str = "bicubic"
    flip_rate: float = 0.0
    color_jitter: tuple = (0.0, 0.0, 0.0, 0.0)
    color_jitter_rate: float = 0.8
    gray_rate: float = 0.0
    fast_decode: bool = False

    def __post_init__(self):
        for name, count in (("scale", 2), ("ratio", 2), ("color_jitter", 4)):
            object.__setattr__(self, name, _numbers(name, getattr(self, name), count))
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale is (least, most) in (0, 1], not {self.scale!r}.")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"ratio is (least, most), both positive, not {self.ratio!r}.")
        if min(self.color_jitter) < 0 or self.color_jitter[3] > 0.5:
            told = "color_jitter is four numbers from 0, the last of them (hue) to 0.5"
            raise ValueError(f"{told}, not {self.color_jitter!r}.")
        if self.interpolation not in ("bicubic", "bilinear"):
            told = 'interpolation is "bicubic" or "bilinear"'
            raise ValueError(f"{told}, not {self.interpolation!r}.")
        for name in _RATES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is from 0 to 1, not {getattr(self, name)!r}.")

    def __call__(self, image, config, random):
        """One changed picture, normalised: (H, W, 3) float32.

        Args:
            image: path, bytes, binary file object, PIL image, or uint8 array.
            config: ImageConfig of the model: size, colour, mean and standard deviation.
            random: np.random.Generator; the same numbers give the same pixels.

        Raises:
            ImageError: the picture cannot be used; the message names it.
        """
        return normalize(self.pixels(image, config, random).astype("float32"), config)

    def pixels(self, image, config, random):
        """The same before normalisation: (H, W, 3) uint8; arguments and errors as the call."""
        config, name = replace(config, interpolation=self.interpolation), None
        if self.fast_decode and isinstance(image, (str, bytes)):
            image, name = _smaller(image, [side / self.scale[0] ** 0.5 for side in config.size])
        return transformed(image, name, lambda opened: self._changed(opened, config, random))

    def crop_box(self, height, width, random):
        """Draw the part of a picture that is seen: (top, left, height, width) in pixels.

        Args:
            height, width: of the picture, in pixels.
            random: np.random.Generator.

        Reference: torchvision `RandomResizedCrop.get_params`.
        """
        low, high = (math.log(bound) for bound in self.ratio)
        for _ in range(_TRIES):
            area = height * width * random.uniform(*self.scale)
            ratio = math.exp(random.uniform(low, high))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                top = int(random.integers(height - h + 1))
                return top, int(random.integers(width - w + 1)), h, w
        w = min(width, round(height * self.ratio[1]))
        h = min(height, round(width / self.ratio[0]))
        return (height - h) // 2, (width - w) // 2, h, w

    def _changed(self, image, config, random):
        top, left, h, w = self.crop_box(image.height, image.width, random)
        if (h, w) != (image.height, image.width):
            # Not the `box` of a resize, whose filter sees pixels beyond the box.
            image = image.crop((left, top, left + w, top + h))
        image = to_rgb(resized(image, *config.size, config))
        if self.flip_rate and random.random() < self.flip_rate:
            from PIL import Image

            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if any(self.color_jitter) and random.random() < self.color_jitter_rate:
            image = self._jittered(image, random)
        if self.gray_rate and random.random() < self.gray_rate:
            image = image.convert("L").convert("RGB")
        return image

    def _jittered(self, image, random):
        for number in random.permutation(4):
            most = self.color_jitter[number]
            if most:
                center, least = (0, -most) if number == 3 else (1, max(0, 1 - most))
                image = CHANGES[number](image, random.uniform(least, center + most))
        return image


def brightness(image, factor):
    """Blend a PIL picture with black; 1 changes nothing."""
    from PIL import ImageEnhance

    return ImageEnhance.Brightness(image).enhance(factor)


def contrast(image, factor):
    """Blend a PIL picture with its mean gray; 1 changes nothing."""
    from PIL import ImageEnhance

    return ImageEnhance.Contrast(image).enhance(factor)


def saturation(image, factor):
    """Blend a PIL picture with its gray self; 1 changes nothing."""
    from PIL import ImageEnhance

    return ImageEnhance.Color(image).enhance(factor)


def hue(image, turn):
    """Turn the hue of a PIL picture in RGB by a share of the circle, -0.5 to 0.5."""
    from PIL import Image

    bands = list(image.convert("HSV").split())
    # 8 bits, and they wrap around, as the circle does.
    bands[0] = bands[0].point([(value + int(turn * 255)) % 256 for value in range(256)])
    return Image.merge("HSV", bands).convert("RGB")


CHANGES = (brightness, contrast, saturation, hue)


def _smaller(source, size):
    """A JPEG that will be decoded at no less than (height, width) where it is larger, and its name.

    Args:
        source: path or bytes; they are returned if they are no JPEG.
        size: (height, width) in pixels.
    """
    from PIL import Image

    name = source if isinstance(source, str) else "The image bytes"
    try:
        image = Image.open(io.BytesIO(source if name is not source else Path(source).read_bytes()))
    except Exception:  # as many kinds as Pillow has plugins; whoever opens it next tells what it is
        return source, name
    if image.format != "JPEG":
        return source, name
    image.draft(None, (math.ceil(size[1]), math.ceil(size[0])))
    return image, name


def _numbers(name, values, count):
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != count or not np.all(np.isfinite(numbers)):
        raise ValueError(f"{name} must be {count} numbers, got {values!r}.")
    return numbers
