"""How a model wants its pictures: size, resize, crop, colour, normalisation."""

import math
from dataclasses import asdict, dataclass, fields

import numpy as np

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
_CHOICES = {
    "resize_mode": ("shortest", "squash"),
    "interpolation": ("bicubic", "bilinear"),
    "crop": ("openai", "timm", "huggingface"),
    "color": ("last", "first"),
}


class ImageSettings:
    """Base of the picture settings: to and from plain dictionaries, strict about keys."""

    @classmethod
    def from_dict(cls, values):
        """Build from a dictionary.

        Raises:
            ValueError: a key that is no field.
        """
        known = sorted(field.name for field in fields(cls))
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"{cls.__name__} has no {unknown}; its fields are {known}.")
        return cls(**values)

    def to_dict(self):
        """The fields as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class ImageConfig(ImageSettings):
    """How a model wants its pictures.

    Args:
        size: (height, width) in pixels, or one int for both.
        mean: three numbers, subtracted from pixels in 0..1.
        std: three positive numbers, divided by afterwards.
        resize_mode: "shortest" scales until the picture covers the size and crops its centre;
            "squash" changes the aspect ratio.
        interpolation: "bicubic" or "bilinear", both with antialiasing.
        crop_fraction: size / crop_fraction, rounded down, is what a picture is scaled to before
            its centre of `size` is taken (`crop_pct` in timm); 1 crops only what sticks out.
        crop: where an odd margin goes: "openai" is round((H - h) / 2), half to even,
            "huggingface" is (H - h) // 2. "timm" is as "openai", and where a size that is not
            square shall be covered, the other side is rounded to the nearest number of pixels,
            as timm and OpenCLIP do, not down.
        color: "last" resizes in the file's own mode and then converts to RGB (OpenAI); "first"
            lays it over white and converts before (transformers). They differ for palettes,
            1 bit, alpha and 16 bit.

    Raises:
        ValueError: a value is out of range.
    """

    size: tuple = (224, 224)
    mean: tuple = OPENAI_MEAN
    std: tuple = OPENAI_STD
    resize_mode: str = "shortest"
    interpolation: str = "bicubic"
    crop_fraction: float = 1.0
    crop: str = "openai"
    color: str = "last"

    def __post_init__(self):
        object.__setattr__(self, "size", _checked_size(self.size))
        for name in ("mean", "std"):
            object.__setattr__(self, name, three_numbers(name, getattr(self, name)))
        if not 0 < self.crop_fraction <= 1:
            raise ValueError(f"crop_fraction is in (0, 1], not {self.crop_fraction!r}.")
        check_choices(self, _CHOICES)

    @property
    def scaled_size(self):
        """The size of which `size` is the centre, (height, width) in pixels."""
        # The addend undoes the rounding of a fraction such as 224 / 248.
        return tuple(math.floor(side / self.crop_fraction + 1e-6) for side in self.size)

    def resized(self, height, width):
        """Size (height, width) after the resize and before the crop, in pixels."""
        h, w = self.scaled_size
        if self.resize_mode == "squash":
            return h, w
        if self.crop == "timm" and h != w:
            scale = min(height / h, width / w)
            return round(height / scale), round(width / scale)
        # int() of this quotient, and no other rounding, is what torchvision does.
        if width * h <= height * w:
            return int(w * height / width), w
        return h, int(h * width / height)

    def offsets(self, height, width):
        """First row and column of the crop in a resized picture."""
        margins = height - self.size[0], width - self.size[1]
        if self.crop == "huggingface":
            return tuple(margin // 2 for margin in margins)
        return tuple(round(margin / 2) for margin in margins)


def _checked_size(size):
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    good = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0 for n in pair)
    if len(pair) != 2 or not good:
        raise ValueError(f"size must be (height, width) in pixels, both positive, got {size!r}.")
    return tuple(int(n) for n in pair)


def check_choices(config, names):
    """Raise a ValueError unless these fields have one of their values."""
    for name in names:
        if getattr(config, name) not in _CHOICES[name]:
            found = getattr(config, name)
            raise ValueError(f"{name} must be one of {_CHOICES[name]}, got {found!r}.")


def three_numbers(name, values):
    """Return three finite numbers, positive ones for `std`, as a tuple of floats.

    Raises:
        ValueError: they are not.
    """
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != 3 or not np.all(np.isfinite(numbers)):
        raise ValueError(f"{name} must be three numbers, got {values!r}.")
    if name == "std" and min(numbers) <= 0:
        raise ValueError(f"std must be positive, got {values!r}.")
    return numbers
