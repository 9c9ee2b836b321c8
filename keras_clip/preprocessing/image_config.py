"""How a model wants its pictures: size, resize, crop, colour, normalisation."""

from dataclasses import asdict, dataclass, fields

import numpy as np

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
_CHOICES = {
    "resize_mode": ("shortest", "squash"),
    "interpolation": ("bicubic", "bilinear"),
    "crop": ("openai", "huggingface"),
    "color": ("last", "first"),
}


@dataclass(frozen=True)
class ImageConfig:
    """How a model wants its pictures.

    Args:
        size: (height, width) in pixels, or one int for both.
        mean: three numbers, subtracted from pixels in 0..1.
        std: three positive numbers, divided by afterwards.
        resize_mode: "shortest" scales until the picture covers the size and crops its centre;
            "squash" changes the aspect ratio.
        interpolation: "bicubic" or "bilinear", both with antialiasing.
        crop: where an odd margin goes: "openai" is round((H - h) / 2), half to even,
            "huggingface" is (H - h) // 2.
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
    crop: str = "openai"
    color: str = "last"

    def __post_init__(self):
        object.__setattr__(self, "size", _checked_size(self.size))
        for name in ("mean", "std"):
            object.__setattr__(self, name, _three_numbers(name, getattr(self, name)))
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {choices}, got {getattr(self, name)!r}.")

    @classmethod
    def from_dict(cls, values):
        """Build from a dictionary.

        Raises:
            ValueError: a key that is no field.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            known = sorted(field.name for field in fields(cls))
            raise ValueError(f"ImageConfig has no {unknown}; its fields are {known}.")
        return cls(**values)

    def to_dict(self):
        """The fields as plain values."""
        return asdict(self)

    def resized(self, height, width):
        """Size (height, width) after the resize and before the crop, in pixels."""
        h, w = self.size
        if self.resize_mode == "squash":
            return h, w
        # int() of this quotient, and no other rounding, is what torchvision does.
        if width * h <= height * w:
            return int(w * height / width), w
        return h, int(h * width / height)

    def offsets(self, height, width):
        """First row and column of the crop in a resized picture."""
        margins = height - self.size[0], width - self.size[1]
        if self.crop == "openai":
            return tuple(round(margin / 2) for margin in margins)
        return tuple(margin // 2 for margin in margins)


def _checked_size(size):
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    good = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0 for n in pair)
    if len(pair) != 2 or not good:
        raise ValueError(f"size must be (height, width) in pixels, both positive, got {size!r}.")
    return tuple(int(n) for n in pair)


def _three_numbers(name, values):
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != 3 or not np.all(np.isfinite(numbers)):
        raise ValueError(f"{name} must be three numbers, got {values!r}.")
    if name == "std" and min(numbers) <= 0:
        raise ValueError(f"std must be positive, got {values!r}.")
    return numbers
