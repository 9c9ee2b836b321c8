"""The configuration of a CLIP: through JSON, its errors, its towers."""

import json

import keras
import numpy as np
import pytest
from tiny_models import (
    ENCODER,
    IMAGE_SIZE,
    tiny_clip,
    tiny_tokenizer,
)

from keras_clip.models.clip import CLIP
from keras_clip.models.config import CLIPConfig, TextConfig, ViTConfig

TEXTS = ["a cat", "dog", "a photo of a small dog on a red chair", "two cats"]


def as_numpy(x):
    return keras.ops.convert_to_numpy(x)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def clip():
    return tiny_clip(tokenizer=tiny_tokenizer())


def test_config_goes_through_json(clip):
    values = json.loads(json.dumps(clip.config.to_dict()))
    assert CLIPConfig.from_dict(values) == clip.config
    again = CLIP(values)
    assert again.config == clip.config
    assert [w.shape for w in again.weights] == [w.shape for w in clip.weights]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"visions": {}}, "visions"),
        ({"vision": {**ENCODER, "projection_dim": 5, "depth": 2}}, "depth"),
        ({"vision": {**ENCODER, "projection_dim": 5}}, "5 .vision. and 6"),
        ({"vision": {**ENCODER, "projection_dim": 6, "num_classes": 2}}, "num_classes"),
        ({"text": {"pooling": "end_token", "projection_dim": 6}}, "end_token_id"),
        ({"text": {"pooling": "max", "projection_dim": 6}}, "max"),
    ],
    ids=str,
)
def test_bad_config(clip, changes, message):
    with pytest.raises(ValueError, match=message):
        CLIPConfig.from_dict({**clip.config.to_dict(), **changes})


def test_towers_are_layers(clip):
    assert clip.get_layer("vision").output.shape == (None, 6)
    assert clip.get_layer("text").output.shape == (None, 6)
    assert isinstance(clip.config.vision, ViTConfig) and isinstance(clip.config.text, TextConfig)
    assert clip.image_processor(np.zeros((20, 20, 3), "uint8")).shape == (1, *IMAGE_SIZE, 3)


def test_scale_and_bias_start_as_in_the_papers(clip):
    softmax = CLIPConfig(clip.config.vision, clip.config.text)
    assert (softmax.initial_scale, softmax.initial_bias) == (1 / 0.07, None)
    sigmoid = CLIPConfig(clip.config.vision, clip.config.text, initial_bias=-10.0)
    assert (sigmoid.initial_scale, sigmoid.initial_bias) == (10.0, -10.0)
    assert CLIPConfig.from_dict(sigmoid.to_dict()) == sigmoid
    built = CLIP(sigmoid)
    assert (built.scale, built.bias) == (pytest.approx(10.0), -10.0)
    assert CLIP(sigmoid.replace(initial_scale=5.0)).scale == pytest.approx(5.0)
