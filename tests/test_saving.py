"""Nothing is lost when a model is saved: weights, configuration, tokenizer, precision."""

import json

import keras
import numpy as np
import pytest
from tiny_models import tiny_clip, tiny_images, tiny_pairs, tiny_tokenizer, tiny_vit

from keras_clip.convert import open_checkpoint
from keras_clip.models.clip import CLIP
from keras_clip.models.config import CLIPConfig, ViTConfig
from keras_clip.models.vit import ViT
from keras_clip.models.weights import named_weights

VIT = {
    "num_classes": 3,
    "labels": ("a", "b", "c"),
    "num_prefix_tokens": 2,
    "layer_scale": 0.1,
    "pre_logits_dim": 5,
}


def as_numpy(x):
    return keras.ops.convert_to_numpy(x)


@pytest.fixture(scope="module")
def clip():
    return tiny_clip(tokenizer=tiny_tokenizer())


@pytest.fixture(scope="module")
def vit():
    return tiny_vit(**VIT)


def assert_same_outputs(got, expected):
    for name, output in expected(tiny_pairs(3)).items():
        np.testing.assert_array_equal(as_numpy(got(tiny_pairs(3))[name]), as_numpy(output))


def test_clip_as_a_keras_file(clip, tmp_path):
    clip.save(tmp_path / "clip.keras")
    loaded = keras.saving.load_model(tmp_path / "clip.keras")
    assert type(loaded) is CLIP and loaded.config == clip.config and loaded.name == clip.name
    assert_same_outputs(loaded, clip)
    np.testing.assert_array_equal(loaded.tokenizer(["a cat"]), clip.tokenizer(["a cat"]))
    np.testing.assert_allclose(loaded.embed_texts("a cat"), clip.embed_texts("a cat"), atol=1e-6)


def test_clip_without_a_tokenizer(tmp_path):
    tiny_clip().save(tmp_path / "clip.keras")
    loaded = keras.saving.load_model(tmp_path / "clip.keras")
    with pytest.raises(ValueError, match="no tokenizer"):
        _ = loaded.tokenizer


def test_training_goes_on_after_loading(tmp_path):
    model = tiny_clip()
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9))
    model.fit(tiny_pairs(4), batch_size=4, verbose=0)
    model.save(tmp_path / "clip.keras")
    loaded = keras.saving.load_model(tmp_path / "clip.keras")
    losses = [
        m.fit(tiny_pairs(4), batch_size=4, verbose=0).history["loss"] for m in (model, loaded)
    ]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    assert loaded.optimizer.iterations == 2


def test_vit_as_a_keras_file(vit, tmp_path):
    vit.save(tmp_path / "vit.keras")
    loaded = keras.saving.load_model(tmp_path / "vit.keras")
    assert type(loaded) is ViT and loaded.config == vit.config
    np.testing.assert_array_equal(as_numpy(loaded(tiny_images(3))), as_numpy(vit(tiny_images(3))))


@pytest.mark.parametrize("make", [tiny_clip, tiny_vit])
def test_precision_is_saved(make, tmp_path):
    make("mixed_bfloat16").save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    tower = loaded.get_layer("vision") if make is tiny_clip else loaded
    assert tower.get_layer("block_0").dtype_policy.name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "float32"


def test_weights_file(clip, tmp_path):
    clip.save_weights(tmp_path / "clip.weights.h5")
    other = tiny_clip()
    other.load_weights(tmp_path / "clip.weights.h5")
    assert_same_outputs(other, clip)


@pytest.mark.parametrize("model", ["clip", "vit"])
def test_from_config(model, request):
    model = request.getfixturevalue(model)
    again = type(model).from_config(json.loads(json.dumps(model.get_config())))
    assert again.config == model.config and again.get_config() == model.get_config()
    assert list(named_weights(again)) == list(named_weights(model))


def test_clone_model(clip, vit):
    clone = keras.models.clone_model(clip)
    clone.set_weights(clip.get_weights())
    assert_same_outputs(clone, clip)
    clone = keras.models.clone_model(vit)
    clone.set_weights(vit.get_weights())
    np.testing.assert_array_equal(as_numpy(clone(tiny_images(3))), as_numpy(vit(tiny_images(3))))


@pytest.mark.parametrize("dtype", [None, "float16"])
def test_clip_preset(clip, tmp_path, dtype):
    clip.save_to_preset(tmp_path / "mine", dtype=dtype)
    described = json.loads((tmp_path / "mine" / "config.json").read_text())
    assert described["format"] == "keras_clip" and described["family"] == "clip"
    assert CLIPConfig.from_dict(described["config"]) == clip.config
    weights = named_weights(clip)
    with open_checkpoint(tmp_path / "mine" / "model.safetensors") as checkpoint:
        assert set(checkpoint) == set(weights)
        for name, tensor in checkpoint.items():
            expected = as_numpy(weights[name])
            stored = tensor.read()
            assert stored.dtype == (dtype or "float32")
            np.testing.assert_array_equal(stored, expected.astype(stored.dtype), err_msg=name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine"]


def test_vit_preset(vit, tmp_path):
    vit.save_to_preset(tmp_path / "deep" / "mine")
    described = json.loads((tmp_path / "deep" / "mine" / "config.json").read_text())
    assert described["family"] == "vit"
    assert ViTConfig.from_dict(described["config"]) == vit.config
    with open_checkpoint(tmp_path / "deep" / "mine" / "model.safetensors") as checkpoint:
        assert set(checkpoint) == set(named_weights(vit))


@pytest.mark.parametrize("model", ["clip", "vit"])
def test_preset_loaded(model, request, tmp_path):
    presets = pytest.importorskip("keras_clip.presets")
    model = request.getfixturevalue(model)
    model.save_to_preset(tmp_path / "mine")
    loaded = presets.from_preset(tmp_path / "mine")
    assert type(loaded) is type(model) and loaded.config == model.config
    expected = named_weights(model)
    for name, weight in named_weights(loaded).items():
        np.testing.assert_array_equal(as_numpy(weight), as_numpy(expected[name]), err_msg=name)


def test_weight_names_are_unique_and_complete(clip, vit):
    for model in (clip, vit):
        named = named_weights(model)
        assert {id(w) for w in named.values()} == {id(w) for w in model.weights}
    assert {"vision/block_0/attention/qkv/kernel", "text/token_embedding/embeddings"} <= set(
        named_weights(clip)
    )
    assert "logit_scale/log_scale" in named_weights(clip)
