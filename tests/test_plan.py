"""The plan of a step against published FLOPs, counted parameters and arithmetic by hand."""

import json
import math

import keras
import numpy as np
import pytest
from tiny_models import tiny_clip

from keras_clip.models.clip import CLIP
from keras_clip.models.config import CLIPConfig, NaFlexConfig, ResNetConfig, TextConfig, ViTConfig
from keras_clip.train.flops import forward_flops, num_tokens
from keras_clip.train.plan import plan

BASE = {"hidden_dim": 768, "num_layers": 12, "num_heads": 12, "mlp_dim": 3072}
LARGE = {"hidden_dim": 1024, "num_layers": 24, "num_heads": 16, "mlp_dim": 4096}
# GFLOPs of picture and text as open_clip publishes them (docs/model_profile.csv).
PUBLISHED = {
    "ViT-B/32": (ViTConfig(**BASE, patch_size=32, projection_dim=512), 8.82, 512, 5.96),
    "ViT-B/16": (ViTConfig(**BASE, patch_size=16, projection_dim=512), 35.13, 512, 5.96),
    "ViT-L/14": (ViTConfig(**LARGE, patch_size=14, projection_dim=768), 162.03, 768, 13.3),
    "ViT-L/14@336px": (
        ViTConfig(**LARGE, patch_size=14, image_size=336, projection_dim=768), 381.92, 768, 13.3,
    ),
    "RN50": (ResNetConfig((3, 4, 6, 3), 64, 32, 1024), 12.22, 512, 5.96),
    "RN101": (ResNetConfig((3, 4, 23, 3), 64, 32, 512), 19.54, 512, 5.96),
    "RN50x4": (ResNetConfig((4, 6, 10, 6), 80, 40, 640, 288), 42.56, 640, 9.27),
    "RN50x16": (ResNetConfig((6, 8, 18, 8), 96, 48, 768, 384), 149.39, 768, 13.3),
    "RN50x64": (ResNetConfig((3, 15, 36, 10), 128, 64, 1024, 448), 529.11, 1024, 23.55),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_flops_are_the_published_ones(name):
    vision, images, width, texts = PUBLISHED[name]
    text = TextConfig(hidden_dim=width, num_heads=width // 64, mlp_dim=4 * width,
                      projection_dim=vision.projection_dim)  # fmt: skip
    found = forward_flops(vision)
    if isinstance(vision, ResNetConfig):
        # There every cell attends to all in the attention pool, here only their mean does.
        cells, channels = math.prod(vision.grid_size), vision.hidden_dim
        found += 2 * cells * channels * (channels + vision.projection_dim + 2 * (cells + 1))
    assert found / 1e9 == pytest.approx(images, rel=0.002)
    assert forward_flops(text) / 1e9 == pytest.approx(texts, rel=0.002)


def test_flops_by_hand():
    """Of other ways to pool, in multiply-adds."""
    small = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 12}
    sizes = {"patch_size": 4, "image_size": (8, 12)}
    block = 4 * 64 + 2 * 8 * 12  # a token, without its attention
    attention = ViTConfig(**small, **sizes, num_prefix_tokens=0, pooling="attention")
    macs = 6 * 48 * 8 + 6 * block + 2 * 36 * 8
    macs += 2 * 6 * 64 + 2 * 6 * 8 + 64 + 2 * 8 * 12
    assert forward_flops(attention) == 2 * macs
    both = ViTConfig(**small, **sizes, pooling="class_and_mean", num_classes=3, activation="swiglu")
    assert forward_flops(both) == 2 * (6 * 48 * 8 + 7 * (block + 8 * 12) + 2 * 49 * 8 + 16 * 3)
    naflex = NaFlexConfig(**small, patch_size=4, grid_size=(2, 3))
    n = naflex.image.max_patches
    macs = n * 48 * 8 + n * 6 * 8 + n * block + 2 * n * n * 8
    macs += 2 * n * 64 + 2 * n * 8 + 64 + 2 * 8 * 12
    assert forward_flops(naflex) == 2 * macs


def test_dropped_patches_cost_nothing():
    config = ViTConfig(**BASE, patch_size=32, projection_dim=512, patch_dropout_rate=0.5)
    assert (num_tokens(config), num_tokens(config, training=True)) == (50, 25)
    share = forward_flops(config, training=True) / forward_flops(config)
    assert 0.5 < share < 0.53  # the patches are embedded before they are dropped
    plain = config.replace(patch_dropout_rate=0.0)
    assert forward_flops(config) == forward_flops(plain) == forward_flops(plain, training=True)


def empty(make, *arguments):
    """A model without its weights, whose names and shapes are all that a plan needs."""
    with keras.StatelessScope(initialize_variables=False):
        return make(*arguments)


@pytest.fixture(scope="module")
def clip():
    return empty(tiny_clip)


def test_a_plan(clip):
    found = plan(clip, 16)
    towers = [clip.get_layer(name) for name in ("vision", "text")]
    sizes = [sum(int(np.prod(w.shape)) for w in tower.weights) for tower in towers]
    assert [found.vision_parameters, found.text_parameters] == sizes
    assert found.parameters == sum(sizes) + 1 == clip.count_params()
    forward = found.vision_forward_flops + found.text_forward_flops
    logits = 2 * 16 * 6
    assert found.pair_flops == 3 * (forward + logits)
    assert found.flops == 16 * found.pair_flops
    assert (found.weights, found.gradients) == (4 * found.parameters, 4 * found.parameters)
    assert found.optimizer == 8 * found.parameters
    assert found.inputs == 16 * 4 * (8 * 12 * 3 + 16)
    vision = 7 * (8 * 8 + 2 * 12 + 2 * 7) + 4 * 7 * 8
    text = 16 * (8 * 8 + 3 * 12 + 2 * 16) + 4 * 16 * 8
    ends = 4 * 16 * 6 + 3 * 16 * 16
    assert found.activations == 4 * (16 * (vision + text) + ends)
    parts = (found.weights, found.gradients, found.optimizer, found.inputs, found.activations)
    assert found.memory == sum(parts)
    assert json.loads(json.dumps(found.to_dict()))["memory"] == found.memory


def test_chunks_trade_memory_for_a_forward_pass(clip):
    whole, chunks = plan(clip, 64), plan(clip, 64, chunk_size=8)
    forward = whole.vision_forward_flops + whole.text_forward_flops
    assert chunks.pair_flops == pytest.approx(whole.pair_flops + forward)
    assert chunks.activations < whole.activations / 4
    assert chunks.inputs == whole.inputs
    assert plan(clip, 64, chunk_size=64) == whole
    again = plan(clip, 64, rematerialized=True)
    assert again.pair_flops == chunks.pair_flops
    assert again.activations == whole.activations + 64 * 4 * (7 + 16) * 8  # one block a tower
    assert plan(clip, 64, ema=True).optimizer == 1.5 * whole.optimizer
    assert plan(clip, 64, optimizer_slots=0).optimizer == 0


def test_shorter_texts_cost_less(clip):
    whole, short = plan(clip, 64), plan(clip, 64, context_length=8)
    assert short.vision_forward_flops == whole.vision_forward_flops
    projection = 2 * 8 * 6
    blocks = [cost.text_forward_flops - projection for cost in (whole, short)]
    # Half of the projections and perceptrons, a quarter of the products of attention.
    assert blocks[1] == blocks[0] / 2 - 2 * 2 * 8 * 8 * 8
    assert short.inputs == whole.inputs - 64 * 4 * 8 and short.weights == whole.weights


def test_a_frozen_tower_costs_its_forward_pass_alone(clip):
    whole = plan(clip, 16)
    clip.get_layer("vision").trainable = False
    try:
        frozen = plan(clip, 16)
    finally:
        clip.get_layer("vision").trainable = True
    assert frozen.pair_flops == pytest.approx(whole.pair_flops - 2 * whole.vision_forward_flops)
    assert frozen.gradients == 4 * (whole.parameters - whole.vision_parameters)
    assert frozen.weights == whole.weights and frozen.activations < whole.activations


def test_half_precision_halves_activations():
    single, half = (plan(empty(tiny_clip, dtype), 16) for dtype in (None, "mixed_bfloat16"))
    ends = 4 * (4 * 16 * 6 + 3 * 16 * 16)
    assert half.activations - ends == (single.activations - ends) / 2
    assert half.gradients == single.gradients
    assert half.weights == single.weights + 2 * (single.parameters - 1)


def test_resnet():
    vision = ResNetConfig((1, 2, 1, 1), 2, 2, 6, 32)
    text = TextConfig(50, 8, 8, 1, 2, 12, projection_dim=6)
    clip = empty(CLIP, CLIPConfig(vision, text))
    found = plan(clip, 4)
    assert found.parameters == clip.count_params()
    assert found.activations > 4 * 4 * 32 * 32


def test_errors(clip):
    with pytest.raises(ValueError, match="is no CLIP"):
        plan(clip.get_layer("vision"), 4)
    with pytest.raises(ValueError, match="at least 2 pairs, not 1"):
        plan(clip, 1)
