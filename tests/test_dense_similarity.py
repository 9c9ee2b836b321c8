"""Where a text is: open_clip's weights multiplied out, every pooling, and what is refused."""

import json
import pathlib

import keras
import numpy as np
import pytest
from test_attention_rollout import as_torch, naflex, pixels
from tiny_models import tiny_clip, tiny_images

from keras_clip import from_preset
from keras_clip.catalogue import BUNDLED_PRESET, zoo_directory
from keras_clip.models.dense_similarity import dense_embeddings, dense_similarity

PARITY = pathlib.Path(__file__).parent / "fixtures" / "parity"


def open_clip_model(name):
    """The image tower of a small checkpoint as open_clip builds it."""
    open_clip = pytest.importorskip("open_clip")
    safetensors = pytest.importorskip("safetensors.torch")
    config = json.loads((PARITY / name / "open_clip_config.json").read_text())["model_cfg"]
    custom = config.pop("custom_text", False)
    model = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**config)
    (weights,) = (PARITY / name).glob("*.safetensors")
    model.load_state_dict(safetensors.load_file(weights))
    return model.eval().double().visual


def unit(x):
    x = x.detach().numpy()
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("name", ["open_clip_bias", "open_clip_mean"])
def test_a_vits_patches_are_the_last_values_of_open_clip(name):
    import torch

    clip = from_preset(PARITY / name)
    images = pixels(clip.get_layer("vision"))
    theirs, kept = open_clip_model(name), []
    block = theirs.transformer.resblocks[-1]
    block.register_forward_pre_hook(lambda _, arguments: kept.append(arguments[0]))
    with torch.no_grad():
        theirs(as_torch(images))
        width = block.attn.embed_dim
        weight, bias = block.attn.in_proj_weight[2 * width :], block.attn.in_proj_bias[2 * width :]
        x = block.ln_1(kept[0]) @ weight.T + bias
        x = block.ls_1(block.attn.out_proj(x))
        expected = unit(theirs.ln_post(x[:, 1:]) @ theirs.proj)
    found = dense_embeddings(clip.get_layer("vision"), images)
    assert found.shape == (3, 3, 3, 16) and found.dtype == np.float32
    np.testing.assert_allclose(found.reshape(3, 9, 16), expected, atol=1e-5)
    texts = unit(torch.randn(4, 16, generator=torch.Generator().manual_seed(0)))
    similarity = dense_similarity(clip, images, texts)
    np.testing.assert_allclose(similarity.reshape(3, 9, 4), expected @ texts.T, atol=1e-5)


def test_a_resnets_cells_are_the_pools_values_of_open_clip():
    import torch

    clip = from_preset(PARITY / "open_clip_resnet")
    images = pixels(clip.get_layer("vision"))
    theirs, kept = open_clip_model("open_clip_resnet"), []
    pool = theirs.attnpool
    pool.register_forward_pre_hook(lambda _, arguments: kept.append(arguments[0]))
    with torch.no_grad():
        theirs(as_torch(images))
        x = kept[0].flatten(2).permute(0, 2, 1) + pool.positional_embedding[1:]
        expected = unit(pool.c_proj(pool.v_proj(x)))
    found = dense_embeddings(clip.get_layer("vision"), images)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-5)


def test_a_probe_looks_at_one_token_at_a_time():
    clip = tiny_clip(pooling="attention", num_prefix_tokens=0)
    vision = clip.get_layer("vision")
    pool = vision.get_layer("pooling")
    tokens = keras.Model(vision.input, pool.input).predict_on_batch(tiny_images(2))
    found = dense_embeddings(vision, tiny_images(2))
    tail = vision.layers[[layer.name for layer in vision.layers].index("pooling") + 1 :]
    for place in range(6):
        x = pool(tokens[:, place : place + 1])
        for layer in tail:
            x = layer(x)
        x = np.asarray(keras.ops.convert_to_numpy(x))
        expected = x / np.linalg.norm(x, axis=-1, keepdims=True)
        np.testing.assert_allclose(found[:, place // 3, place % 3], expected, atol=1e-5)


def test_naflex_and_mixed_precision_and_registers_have_maps_too():
    clip = naflex()
    inputs = clip.image_processor([np.zeros((8, 20, 3), "uint8")])
    found = dense_embeddings(clip.get_layer("vision"), inputs)
    assert found.shape == (1, *inputs["grid_sizes"][0], 24)
    clip = tiny_clip("mixed_bfloat16", num_register_tokens=2)
    found = dense_embeddings(clip.get_layer("vision"), tiny_images(2))
    assert found.shape == (2, 2, 3, 6) and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)


def test_the_model_stays_as_it_is():
    clip = tiny_clip()
    before = clip.get_layer("vision").predict(tiny_images(2), verbose=0)
    dense_embeddings(clip.get_layer("vision"), tiny_images(2))
    after = clip.get_layer("vision").predict(tiny_images(2), verbose=0)
    np.testing.assert_array_equal(before, after)
    assert clip.get_layer("vision").get_layer("block_0").output.shape == (None, 7, 8)


def test_what_is_not_defined_is_refused():
    with pytest.raises(ValueError, match=r"\(texts, 6\) in this model, not \(2, 5\)"):
        dense_similarity(tiny_clip(), tiny_images(1), np.zeros((2, 5)))
    with pytest.raises(ValueError, match="mean are both taken"):
        dense_embeddings(tiny_clip(pooling="class_and_mean").get_layer("vision"), tiny_images(1))
    with pytest.raises(ValueError, match=r'get_layer\("vision"\)'):
        dense_embeddings(tiny_clip(), tiny_images(1))


def test_the_bundled_model_finds_what_is_in_a_scene():
    if not (zoo_directory() / BUNDLED_PRESET).is_dir():
        pytest.skip("the bundled weights are not in this checkout")
    clip = from_preset(BUNDLED_PRESET)
    scenes = [zoo_directory() / "demo" / f"scene_{number}.png" for number in (1, 3, 5)]
    texts = [
        *("a brown heart", "a red cross"),
        *("a blue crescent", "a pink square"),
        *("a white ring", "a yellow square"),
    ]
    maps = dense_similarity(clip, clip.image_processor(scenes), clip.embed_texts(texts))
    # Where they are by eye: the first of each scene above the second one, or to its left.
    for scene, first in enumerate((0, 2, 4)):
        lines = maps[scene].max(axis=1 if scene != 1 else 0)  # by row, in scene 3 by column
        assert lines[:, first].argmax() == 0 and lines[:, first + 1].argmax() == 1
