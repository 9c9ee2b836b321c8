"""Attention rollout: transformers' numbers, every way of pooling, and what has no grid."""

import pathlib

import keras
import numpy as np
import pytest
from tiny_models import tiny_clip, tiny_images, tiny_vit

from keras_clip import CLIP, CLIPConfig, from_preset
from keras_clip.models.attention_maps import attention_maps, pooling_attention
from keras_clip.models.attention_rollout import attention_rollout

PARITY = pathlib.Path(__file__).parent / "fixtures" / "parity"
SIGLIP = {
    "vision_config": {
        **{"num_hidden_layers": 2, "hidden_size": 20, "intermediate_size": 28},
        **{"num_attention_heads": 5, "image_size": 24, "patch_size": 8},
    },
    "text_config": {
        **{"num_hidden_layers": 1, "hidden_size": 24, "intermediate_size": 32},
        **{"num_attention_heads": 3, "vocab_size": 70, "projection_size": 20},
        **{"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 1},
    },
}


def pixels(tower, count=3):
    shape = (count, *tower.config.image_size, 3)
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def as_torch(images):
    """Pictures for a reference, which computes in float64: its float32 depends on the processor."""
    import torch

    return torch.from_numpy(images.transpose(0, 3, 1, 2).astype("float64"))


def rolled(attentions, mask=None):
    """The product over layers of the renormalised weights: (B, N, N), the paper's way."""
    product = np.eye(attentions[0].shape[-1])[None]
    for weights in attentions:
        mixed = np.asarray(weights, "float64").mean(axis=1) + np.eye(weights.shape[-1])
        product = mixed / mixed.sum(axis=-1, keepdims=True) @ product
    return product


def test_a_class_tokens_rollout_is_that_of_transformers_attentions():
    transformers = pytest.importorskip("transformers")
    folder = PARITY / "huggingface_clip"
    vision = from_preset(folder, tower="vision")
    images = pixels(vision)
    theirs = transformers.CLIPModel.from_pretrained(folder, attn_implementation="eager").double()
    seen = theirs.vision_model(as_torch(images), output_attentions=True).attentions
    expected = rolled([weights.detach().numpy() for weights in seen])[:, 0, 1:]
    found = attention_rollout(vision, images)
    assert found.shape == (3, *vision.config.grid_size) and found.dtype == np.float32
    np.testing.assert_allclose(found.reshape(3, -1), expected, atol=1e-5)


def test_a_probes_rollout_is_that_of_transformers_attentions(tmp_path):
    transformers = pytest.importorskip("transformers", minversion="5")
    config = transformers.SiglipConfig(**SIGLIP)
    theirs = transformers.SiglipModel(config).eval()
    theirs.save_pretrained(tmp_path)
    theirs.set_attn_implementation("eager")
    theirs.double()
    vision = from_preset(tmp_path, tower="vision")
    images = pixels(vision)
    inside = theirs.vision_model(as_torch(images), output_attentions=True)
    head, tokens = theirs.vision_model.head, inside.last_hidden_state
    probe = head.probe.repeat(len(images), 1, 1)
    weights = head.attention(probe, tokens, tokens, average_attn_weights=False)[1]
    weights = weights.detach().numpy()[:, :, 0]
    np.testing.assert_allclose(pooling_attention(vision, images), weights, atol=1e-5)
    product = rolled([layer.detach().numpy() for layer in inside.attentions])
    expected = np.einsum("bq,bqk->bk", weights.mean(axis=1), product).reshape(3, 3, 3)
    np.testing.assert_allclose(attention_rollout(vision, images), expected, atol=1e-5)


def test_a_resnets_rollout_is_its_pools_attention():
    vision = from_preset(PARITY / "open_clip_resnet", tower="vision")
    images = pixels(vision)
    pool = vision.get_layer("attention_pool")
    x = keras.Model(vision.input, pool.input).predict_on_batch(images)
    query, key, value = (
        np.asarray(keras.ops.convert_to_numpy(layer(part))).reshape(3, -1, pool.num_heads, head)
        for layer, part in ((pool.query, x[:, :1]), (pool.key, x), (pool.value, x))
        for head in [x.shape[-1] // pool.num_heads]
    )
    scores = np.exp(np.einsum("bqhd,bkhd->bhqk", query, key) / np.sqrt(query.shape[-1]))[:, :, 0]
    scores /= scores.sum(axis=-1, keepdims=True)
    weights = pooling_attention(vision, images)
    np.testing.assert_allclose(weights, scores, atol=1e-5)
    mixed = np.einsum("bhk,bkhd->bhd", weights, value).reshape(3, -1)
    output = keras.ops.convert_to_numpy(pool.out(mixed))
    np.testing.assert_allclose(output, vision.predict(images, verbose=0), atol=1e-5)
    rollout = attention_rollout(vision, images)
    mean = weights.mean(axis=1)
    expected = mean[:, 1:] + mean[:, :1] / (mean.shape[1] - 1)
    np.testing.assert_allclose(rollout.reshape(3, -1), expected, atol=1e-6)
    np.testing.assert_allclose(rollout.sum(axis=(1, 2)), 1, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"pooling": "mean", "num_classes": 3, "num_register_tokens": 2},
        {"pooling": "class_and_mean", "num_classes": 3},
        {"num_prefix_tokens": 2, "num_classes": 3, "use_distillation_head": True},
        {"num_register_tokens": 2},
    ],
    ids=["mean", "class_and_mean", "distilled", "registers"],
)
def test_every_pooling_looks_where_it_takes_its_tokens_from(changes):
    model = tiny_vit(**changes)
    images = tiny_images(2)
    product = rolled(attention_maps(model, images))
    before = model.config.num_prefix_tokens + model.config.num_register_tokens
    token, patches = product[:, 0], product[:, before:].mean(axis=1)
    rows = {
        "mean": patches,
        "class_and_mean": (token + patches) / 2,
        "class_token": product[:, : 2 if "use_distillation_head" in changes else 1].mean(axis=1),
    }
    expected = rows[model.config.pooling][:, before:].reshape(2, 2, 3)
    np.testing.assert_allclose(attention_rollout(model, images), expected, atol=1e-6)
    with pytest.raises(ValueError, match="no pooling by attention"):
        pooling_attention(model, images)


def naflex():
    encoder = {"hidden_dim": 24, "num_layers": 2, "num_heads": 3, "mlp_dim": 32}
    vision = {**encoder, "patch_size": 4, "grid_size": 4, "image": {"max_patches": 12}}
    text = {**encoder, "vocabulary_size": 70, "context_length": 9, "projection_dim": 24}
    return CLIP(CLIPConfig.from_dict({"vision": vision, "text": text, "initial_bias": -10.0}))


def test_a_naflex_grid_is_the_pictures_own_and_padding_changes_nothing():
    vision = naflex().get_layer("vision")
    picture = np.random.default_rng(0).integers(0, 256, (8, 20, 3), "uint8")
    inputs = vision.image_processor([picture])
    found = attention_rollout(vision, inputs)
    down, across = inputs["grid_sizes"][0]
    assert found.shape == (1, down, across) and down * across < 12
    np.testing.assert_allclose(found.sum(), 1, atol=1e-5)
    shorter = {**inputs, "patches": inputs["patches"][:, : down * across]}
    np.testing.assert_allclose(attention_rollout(vision, shorter), found, atol=1e-5)
    both = vision.image_processor([picture, picture.transpose(1, 0, 2)])
    with pytest.raises(ValueError, match="2 different grids"):
        attention_rollout(vision, both)


def test_rollout_needs_an_image_tower():
    clip = tiny_clip()
    for model in (clip, clip.get_layer("text")):
        with pytest.raises(ValueError, match=r'get_layer\("vision"\)'):
            attention_rollout(model, tiny_images(2))


def test_a_resnet_has_no_maps_of_blocks_and_the_error_says_what_it_has():
    vision = from_preset(PARITY / "open_clip_resnet", tower="vision")
    with pytest.raises(ValueError, match="pooling_attention"):
        attention_maps(vision, pixels(vision))
