"""How the dialects say that pictures are to be read."""

import json
import pathlib
from types import SimpleNamespace

import pytest

from keras_clip.convert import (
    CheckpointError,
    huggingface_clip,
    huggingface_vit,
    open_checkpoint,
)
from keras_clip.models.config import CLIPConfig, ViTConfig

FIXTURES = pathlib.Path(__file__).parent / "fixtures" / "parity"
CLIP = {"model_type": "clip"}
VIT = {"model_type": "vit"}
FILES = {
    "openai": "openai_clip.pt",
    "huggingface_clip": "huggingface_clip",
    "huggingface_vit": "huggingface_vit",
    "google": "google_vit.npz",
}


def opened(name):
    path = FIXTURES / FILES[name]
    config = path / "config.json"
    return open_checkpoint(path), json.loads(config.read_text()) if path.is_dir() else None


def shapes(**tensors):
    """A checkpoint of which only names and shapes matter."""
    return {name: SimpleNamespace(shape=shape) for name, shape in tensors.items()}


def stored_shapes(name):
    checkpoint, _ = opened(name)
    with checkpoint:
        return shapes(**{tensor: checkpoint[tensor].shape for tensor in checkpoint})


def image(dialect, preprocessor):
    values = dialect.config_from({}, {}, preprocessor)
    return (
        CLIPConfig.from_dict(values).vision.image
        if "vision" in values
        else (ViTConfig.from_dict(values).image)
    )


@pytest.mark.parametrize(
    ("dialect", "preprocessor", "expected"),
    [
        (huggingface_clip, None, ("shortest", "bicubic", "openai", "last")),
        (
            huggingface_clip,
            {"size": 30, "crop_size": 30},
            ("shortest", "bicubic", "openai", "last"),
        ),
        (
            huggingface_clip,
            {"size": {"height": 30, "width": 30}, "do_center_crop": False, "resample": 2},
            ("squash", "bilinear", "openai", "last"),
        ),
        (huggingface_vit, None, ("squash", "bilinear", "huggingface", "first")),
        (
            huggingface_vit,
            {"size": {"shortest_edge": 32}, "do_center_crop": True, "resample": 3},
            ("shortest", "bicubic", "huggingface", "first"),
        ),
    ],
)
def test_how_pictures_are_read(dialect, preprocessor, expected):
    found = image(dialect, preprocessor)
    assert (found.resize_mode, found.interpolation, found.crop, found.color) == expected


def test_means_come_from_the_preprocessor():
    values = {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 2]}
    found = image(huggingface_clip, values)
    assert (found.mean, found.std) == ((0.1, 0.2, 0.3), (1.0, 1.0, 2.0))
    assert image(huggingface_vit, {"do_normalize": False}).std == (1.0, 1.0, 1.0)
    assert image(huggingface_vit, None).mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"resample": 0}, "resample is 0"), ({"image_mean": [0.5]}, "image_mean")],
)
def test_a_bad_preprocessor_is_an_error(values, message):
    with pytest.raises(CheckpointError, match=message):
        image(huggingface_clip, values)
