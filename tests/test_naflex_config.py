"""What defines a NaFlex model: every field is kept, and makes a difference."""

from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from keras_clip import CheckpointError, CLIPConfig
from keras_clip.convert import huggingface_siglip2
from keras_clip.models.naflex import NaFlexConfig
from keras_clip.preprocessing.naflex_images import NaFlexImageConfig, NaFlexImageProcessor

# Another value of every field; all change numbers but those of training.
CHANGES = {
    "hidden_dim": 12,
    "num_layers": 1,
    "num_heads": 4,
    "mlp_dim": 16,
    "patch_size": 8,
    "grid_size": (3, 5),
    "activation": "gelu",
    "epsilon": 0.1,
    "dropout_rate": 0.1,
    "stochastic_depth_rate": 0.1,
    "image": {"max_patches": 6},
}
IMAGE_CHANGES = {
    "max_patches": 6,
    "mean": (0.1, 0.2, 0.3),
    "std": (0.1, 0.2, 0.3),
    "interpolation": "bicubic",
    "color": "last",
}


def test_every_field_survives(tmp_path):
    base = NaFlexConfig(24, 2, 3, 32, 4, 4)
    assert set(CHANGES) == set(asdict(base))
    assert {*IMAGE_CHANGES, "patch_size"} == set(asdict(base.image))
    for name, value in CHANGES.items():
        image = NaFlexImageConfig(**value) if name == "image" else None
        changed = base.replace(**{name: image or value})
        again = NaFlexConfig.from_dict(changed.to_dict())
        assert again == changed != base


@pytest.mark.parametrize("name", IMAGE_CHANGES)
def test_every_setting_of_pictures_matters(name):
    picture = [Image.fromarray(np.random.default_rng(0).integers(0, 256, (41, 57, 4), "uint8"))]
    base = NaFlexImageConfig(max_patches=9)
    changed = NaFlexImageConfig(**{**base.to_dict(), name: IMAGE_CHANGES[name]})
    assert NaFlexImageConfig.from_dict(changed.to_dict()) == changed
    first, second = (NaFlexImageProcessor(config)(picture)["patches"] for config in (base, changed))
    assert first.shape != second.shape or not np.array_equal(first, second)


def test_defaults_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    wanted = transformers.Siglip2Config()
    config = CLIPConfig.from_dict(huggingface_siglip2.config_from({}, {"model_type": "siglip2"}))
    for ours, theirs in ((config.vision, wanted.vision_config), (config.text, wanted.text_config)):
        assert (ours.hidden_dim, ours.mlp_dim) == (theirs.hidden_size, theirs.intermediate_size)
        assert ours.num_layers == theirs.num_hidden_layers
        assert ours.num_heads == theirs.num_attention_heads
        assert (ours.activation, ours.epsilon) == ("gelu_tanh", theirs.layer_norm_eps)
    assert config.vision.patch_size == (wanted.vision_config.patch_size,) * 2
    assert np.prod(config.vision.grid_size) == wanted.vision_config.num_patches


def test_bad_values_are_named():
    def message(**vision):
        with pytest.raises(CheckpointError) as caught:
            huggingface_siglip2.config_from({}, {"vision_config": vision})
        return str(caught.value)

    assert "num_patches is 15, expected a square number" in message(num_patches=15)
    assert "without its head" in message(vision_use_head=False)
    with pytest.raises(ValueError, match="patch_size is square in a NaFlex model"):
        NaFlexConfig(24, 2, 3, 32, patch_size=(4, 8))
    with pytest.raises(ValueError, match="max_patches is a positive integer, not 0"):
        NaFlexImageConfig(max_patches=0)
