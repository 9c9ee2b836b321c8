"""Attention maps: of a ViT, of the towers of a CLIP, and the model that they leave alone."""

import keras
import numpy as np
import pytest
from tiny_models import tiny_clip, tiny_images, tiny_token_ids, tiny_vit

from keras_clip.models.attention_maps import attention_maps


def as_numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_attention_maps_leave_the_model_alone():
    model = tiny_vit(num_prefix_tokens=2)
    expected = as_numpy(model(tiny_images(3)))
    maps = attention_maps(model, tiny_images(3))
    assert maps.shape == (2, 3, 2, 8, 8) and maps.dtype == np.float32
    np.testing.assert_allclose(maps.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_array_equal(as_numpy(model(tiny_images(3))), expected)


def test_attention_maps_make_the_output():
    model = tiny_vit(num_layers=1)
    block = model.get_layer("block_0")
    x = as_numpy(keras.Model(model.input, block.input)(tiny_images(3)))
    qkv = as_numpy(block.attention.qkv(block.norm1(x)))
    value = qkv[..., 16:].reshape(3, 7, 2, 4)
    maps = attention_maps(model, tiny_images(3))[0]
    mixed = np.einsum("bhqk,bkhd->bqhd", maps, value).reshape(3, 7, 8)
    x = x + as_numpy(block.attention.out(mixed))
    x = x + as_numpy(block.mlp(block.norm2(x)))
    np.testing.assert_allclose(
        x, as_numpy(keras.Model(model.input, block.output)(tiny_images(3))), atol=1e-5
    )


def test_attention_maps_of_towers():
    clip = tiny_clip()
    assert attention_maps(clip.get_layer("vision"), tiny_images(3)).shape == (1, 3, 2, 7, 7)
    maps = attention_maps(clip.get_layer("text"), tiny_token_ids(3))
    assert maps.shape == (1, 3, 2, 16, 16)
    assert (maps[..., ~np.tril(np.ones((16, 16), bool))] == 0).all()
    with pytest.raises(ValueError, match=r'get_layer\("vision"'):
        attention_maps(clip, tiny_images(3))
    mixed = attention_maps(tiny_vit("mixed_bfloat16"), tiny_images(3))
    np.testing.assert_allclose(mixed.sum(axis=-1), 1, atol=0.02)
