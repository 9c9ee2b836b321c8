"""No flag is lost: each field of a configuration is saved, comes back, and makes a difference."""

import functools
from dataclasses import asdict, fields, is_dataclass, replace

import keras
import numpy as np
import pytest
from tiny_models import tiny_tokenizer

from keras_clip import CLIP, CLIPConfig, TextConfig, ViT, ViTConfig, from_preset
from keras_clip.models.config import ResNetConfig
from keras_clip.models.weights import named_weights
from keras_clip.preprocessing.image_config import ImageConfig

ENCODER = {"hidden_dim": 8, "num_layers": 2, "num_heads": 2, "mlp_dim": 12}
IMAGE = ImageConfig(size=8)
VISION = ViTConfig(**ENCODER, patch_size=4, image_size=8, projection_dim=6, image=IMAGE)
TEXT = TextConfig(**ENCODER, vocabulary_size=603, context_length=10, projection_dim=6)
CLIP_BASE = CLIPConfig(VISION, TEXT)
RESNET = ResNetConfig((1, 1, 1, 1), width=2, num_heads=2, projection_dim=6, image_size=32)
RESNET_BASE = CLIPConfig(RESNET, TEXT)
VIT_BASE = ViTConfig(**ENCODER, patch_size=4, image_size=8, num_classes=3, num_prefix_tokens=2)

# Another value of every field that changes numbers, by the field's place.
CLIP_CHANGES = {
    "vision.hidden_dim": 4,
    "vision.num_layers": 1,
    "vision.num_heads": 4,
    "vision.mlp_dim": 16,
    "vision.patch_size": (2, 4),
    "vision.image_size": (8, 12),
    "vision.activation": "quick_gelu",
    "vision.epsilon": 0.1,
    "vision.num_prefix_tokens": 2,
    "vision.use_prefix_positions": False,
    "vision.num_register_tokens": 2,
    "vision.pooling": "mean",
    "vision.final_norm": None,
    "vision.use_patch_bias": False,
    "vision.use_qkv_bias": False,
    "vision.use_norm_pre": True,
    "vision.layer_scale": 0.1,
    "vision.use_projection_bias": True,
    "vision.image.mean": (0.1, 0.2, 0.3),
    "vision.image.std": (0.1, 0.2, 0.3),
    "vision.image.resize_mode": "squash",
    "vision.image.interpolation": "bilinear",
    "vision.image.crop_fraction": 0.5,
    "vision.image.crop": "huggingface",
    "vision.image.color": "first",
    "text.vocabulary_size": 700,
    "text.context_length": 12,
    "text.hidden_dim": 4,
    "text.num_layers": 1,
    "text.num_heads": 4,
    "text.mlp_dim": 16,
    "text.activation": "gelu_tanh",
    "text.epsilon": 0.1,
    "text.causal": False,
    "text.pooling": "last",
    "text.use_projection_bias": True,
    "initial_bias": -1.0,
}
RESNET_CHANGES = {
    "vision.stage_blocks": (1, 2, 1, 1),
    "vision.width": 4,
    "vision.num_heads": 4,
    "vision.image_size": (32, 64),
    "vision.epsilon": 0.1,
}
VIT_CHANGES = {
    "pre_logits_dim": 5,
    "num_classes": 4,
    "head_activation": "sigmoid",
    "use_distillation_head": True,
    "pooling": "class_and_mean",
}
# Of no influence on outputs, but kept: training, later resizing, names.
KEPT = {
    "vision.dropout_rate": 0.1,
    "vision.stochastic_depth_rate": 0.1,
    "vision.patch_dropout_rate": 0.5,
    "vision.position_resize": "bicubic",
    "text.dropout_rate": 0.1,
    "initial_scale": 5.0,
    "max_scale": None,
}
VIT_KEPT = {"labels": ("a", "b", "c")}
# Tested together with another field, which they need or which needs them.
TOGETHER = {
    "vision.projection_dim": "text.projection_dim",
    "text.projection_dim": "vision.projection_dim",
    "text.end_token_id": "text.pooling",
    "text.pad_token_id": "text.causal",
    "vision.image.size": "vision.image_size",
}


def changed(config, place, value):
    """A copy of a configuration with another value at a place such as `vision.image.mean`."""
    name, _, rest = place.partition(".")
    return replace(config, **{name: changed(getattr(config, name), rest, value) if rest else value})


def places(config, prefix=""):
    """The places of all fields."""
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            yield from places(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def model(config):
    """A model whose weights depend on their names and shapes alone."""
    if isinstance(config, CLIPConfig):
        tokens = tiny_tokenizer()
        built = CLIP(config, tokens)
        tokens.context_length = config.text.context_length
        tokens.pad_token_id = config.text.pad_token_id
    else:
        built = ViT(config)
    for name, weight in named_weights(built).items():
        values = np.random.default_rng(len(name)).normal(size=weight.shape)
        kernel = len(weight.shape) > 1
        weight.assign(values / np.prod(weight.shape[:-1]) ** 0.5 if kernel else 0.5 + values**2)
    return built


def outputs(built):
    """What a model makes of a picture, and of texts if it knows them."""
    picture = np.random.default_rng(0).integers(0, 256, (41, 57, 4), "uint8")
    from PIL import Image

    pixels = built.image_processor([Image.fromarray(picture, "RGBA")])
    if isinstance(built, ViT):
        return [keras.ops.convert_to_numpy(built(pixels))]
    token_ids = built.tokenizer(["a red circle", "two"])
    found = built({"images": pixels, "token_ids": token_ids})
    return [keras.ops.convert_to_numpy(found[name]) for name in sorted(found)]


@functools.cache
def base_outputs(config):
    return outputs(model(config))


def array(weight):
    return keras.ops.convert_to_numpy(weight.value)


def same(one, other):
    return all(a.shape == b.shape and np.array_equal(a, b) for a, b in zip(one, other, strict=True))


CASES = [
    *((CLIP_BASE, place, value, True) for place, value in CLIP_CHANGES.items()),
    *((RESNET_BASE, place, value, True) for place, value in RESNET_CHANGES.items()),
    *((VIT_BASE, place, value, True) for place, value in VIT_CHANGES.items()),
    *((CLIP_BASE, place, value, False) for place, value in KEPT.items()),
    *((VIT_BASE, place, value, False) for place, value in VIT_KEPT.items()),
    (changed(CLIP_BASE, "text.end_token_id", 5), "text.pooling", "end_token", True),
    (changed(CLIP_BASE, "text.causal", False), "text.pad_token_id", 7, True),
]


@pytest.mark.parametrize(
    ("base", "place", "value", "matters"), CASES, ids=lambda value: str(value)[:30]
)
def test_a_field_survives_and_matters(base, place, value, matters, tmp_path):
    config = changed(base, place, value)
    built = model(config)
    built.save_to_preset(tmp_path / "preset")
    again = from_preset(tmp_path / "preset")
    assert asdict(again.config) == asdict(config)
    weights = named_weights(again)
    for name, weight in named_weights(built).items():
        np.testing.assert_array_equal(array(weights[name]), array(weight), err_msg=name)
    assert same(outputs(again), base_outputs(base)) != matters


def test_every_field_is_tested():
    tested = {*CLIP_CHANGES, *KEPT, *TOGETHER, "vision.pre_logits_dim", "vision.num_classes"}
    tested |= {f"vision.{place}" for place in (*VIT_CHANGES, *VIT_KEPT)}
    assert set(places(CLIP_BASE)) <= tested
    of_resnet = {p for p in places(RESNET_BASE) if p.startswith("vision.")}
    assert {p for p in of_resnet if ".image." not in p} <= {*RESNET_CHANGES, *KEPT, *TOGETHER}
