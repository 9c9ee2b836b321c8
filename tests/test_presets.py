"""`from_preset`: every layout found by its content, changed as asked, and clear errors."""

import json
import os
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
import small_models

from keras_clip import CheckpointError, from_preset, presets, sources
from keras_clip.convert import write_safetensors
from keras_clip.models.deferred_weights import deferred_weights
from keras_clip.models.resize import resize_positions
from keras_clip.models.weights import named_weights

LAYOUTS = [
    ("clip", "openai", "a.pt"),
    ("clip", "openai", "strange.name"),
    ("clip", "huggingface_clip", "directory"),
    ("vit", "huggingface_vit", "directory"),
    ("vit", "google", "a.npz"),
]


def made(family):
    return {"clip": small_models.clip, "vit": small_models.vit}[family]()


def array(variable):
    return keras.ops.convert_to_numpy(variable)


@pytest.fixture
def vit_directory(tmp_path):
    model = small_models.vit(pre_logits_dim=20)
    model.save_to_preset(tmp_path / "vit")
    return model, tmp_path / "vit"


@pytest.mark.parametrize(("family", "dialect", "name"), LAYOUTS)
def test_a_layout_is_found_by_its_content(family, dialect, name, tmp_path):
    model = made(family)
    loaded = from_preset(small_models.write(model, dialect, tmp_path / name))
    assert type(loaded) is type(model)
    assert small_models.same(model, loaded)
    assert loaded.config.to_dict()["epsilon" if family == "vit" else "vision"]


@pytest.mark.parametrize("family", ["clip", "vit"])
def test_an_own_preset_comes_back_whole(family, tmp_path):
    model = made(family)
    model.save_to_preset(tmp_path / "mine")
    loaded = from_preset(str(tmp_path / "mine"))
    assert loaded.config == model.config
    assert small_models.same(model, loaded)
    if family == "clip":
        texts = ["a cat", "a"]
        np.testing.assert_array_equal(loaded.tokenizer(texts), model.tokenizer(texts))
        assert loaded.tokenizer.get_config() == model.tokenizer.get_config()


def test_a_new_head_is_fresh_and_the_rest_is_loaded(vit_directory):
    model, path = vit_directory
    loaded = from_preset(path, num_classes=3)
    assert loaded.output.shape == (None, 3)
    assert loaded.config.pre_logits_dim is None
    names = {name for name in named_weights(loaded) if not name.startswith("head/")}
    assert small_models.same(loaded, model, tuple(names))
    assert np.std(array(loaded.get_layer("head").kernel)) > 0


def test_a_head_can_be_dropped_or_kept(vit_directory):
    model, path = vit_directory
    assert from_preset(path, num_classes=0).output.shape == (None, 17, 64)
    assert small_models.same(from_preset(path, num_classes=7), model)
    assert from_preset(path, num_classes=3, labels=("a", "b", "c")).config.labels[1] == "b"


def test_positions_are_resampled_for_another_image_size(tmp_path):
    vit, clip = small_models.vit(), small_models.clip()
    for model, prefix in ((vit, ""), (clip, "vision/")):
        path = tmp_path / type(model).__name__
        model.save_to_preset(path)
        loaded = from_preset(path, image_size=(48, 24))
        vision = getattr(model.config, "vision", model.config)
        name = prefix + "position_embedding/embeddings"
        expected = resize_positions(
            array(named_weights(model)[name]), 1, (4, 4), (6, 3), vision.position_resize
        )
        np.testing.assert_array_equal(array(named_weights(loaded)[name]), expected)
        assert loaded.image_processor(np.zeros((9, 9, 3), "uint8")).shape == (1, 48, 24, 3)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "float16"])
def test_a_dtype_is_a_policy_of_this_model_only(vit_directory, dtype):
    _, path = vit_directory
    loaded = from_preset(path, dtype=dtype)
    for weight in loaded.weights:
        assert keras.backend.standardize_dtype(weight.value.dtype) == weight.dtype
    block = loaded.get_layer("block_0")
    assert block.compute_dtype == dtype.removeprefix("mixed_")
    assert block.variable_dtype == ("float32" if dtype.startswith("mixed") else dtype)
    assert keras.config.dtype_policy().name == "float32"
    assert keras.backend.standardize_dtype(loaded(np.zeros((1, 32, 32, 3))).dtype) == "float32"


def test_fields_of_the_configuration_can_be_changed(tmp_path):
    small_models.vit().save_to_preset(tmp_path / "vit")
    small_models.clip().save_to_preset(tmp_path / "clip")
    vit = from_preset(tmp_path / "vit", head_activation=None, dropout_rate=0.1)
    assert (vit.config.head_activation, vit.config.dropout_rate) == (None, 0.1)
    clip = from_preset(
        tmp_path / "clip", vision={"activation": "gelu", "image": {"crop": "huggingface"}}
    )
    assert clip.config.vision.activation == "gelu"
    assert clip.config.vision.image.crop == "huggingface"
    assert clip.config.text.activation == "quick_gelu"
    with pytest.raises(
        ValueError, match=r"ViTConfig has no \['widht'\]; its fields: \['activation'"
    ):
        from_preset(tmp_path / "vit", widht=3)
    with pytest.raises(ValueError, match="zero_shot_classifier"):
        from_preset(tmp_path / "clip", num_classes=3)
    with pytest.raises(ValueError, match="takes no tokenizer"):
        from_preset(tmp_path / "vit", tokenizer="x")


def test_without_weights_a_model_is_freshly_initialised(vit_directory):
    model, path = vit_directory
    fresh = from_preset(path, load_weights=False)
    assert fresh.config == model.config
    assert not small_models.same(fresh, model, "block_0/mlp/fc1/kernel")
    assert np.std(array(named_weights(fresh)["block_0/mlp/fc1/kernel"])) > 0


def test_a_name_without_weights_fetches_nothing(monkeypatch):
    monkeypatch.setattr(sources, "fetch", None)
    name = "vit_tiny_patch16_224_augreg_in21k_ft_in1k"
    model = from_preset(name, load_weights=False, num_layers=1, image_size=32)
    assert model.output.shape == (None, 1000)


def test_a_name_is_fetched_and_read_as_its_table_says(tmp_path, monkeypatch):
    model = small_models.vit()
    path = small_models.write(model, "huggingface_vit", tmp_path / "fetched")
    described = json.loads((path / "config.json").read_text())
    described["id2label"] = {str(i): f"class {i}" for i in range(7)}
    (path / "config.json").write_text(json.dumps(described))
    entry = {
        "family": "vit",
        "table": "huggingface_vit",
        "source": "hf://some/where",
        "config": {**small_models.VIT_CONFIG, "epsilon": 1e-4},
    }
    asked = []
    for module in (presets, sources):
        monkeypatch.setattr(module, "zoo", lambda: {"vit_some": entry})
    monkeypatch.setattr(sources, "fetch", lambda *args: asked.append(args) or path)
    loaded = from_preset("vit_some")
    assert asked == [("hf://some/where", None, "")]
    assert loaded.config.epsilon == 1e-4
    assert loaded.config.labels[6] == "class 6"
    assert small_models.same(loaded, model)


@pytest.mark.parametrize("source", ["hf://org/repo", "https://host/a.npz"])
def test_a_remote_source_is_fetched(source, tmp_path, monkeypatch):
    path = small_models.write(small_models.vit(), "google", tmp_path / "a.npz")
    monkeypatch.setattr(sources, "fetch", lambda asked: {source: path}[asked])
    assert from_preset(source).config.num_classes == 7


def test_an_unknown_name_is_an_error_that_helps():
    with pytest.raises(ValueError, match=r"Similar: clip_vit_large_patch14.*hf://org/repo"):
        from_preset("clip_vit_large_patch14")
    with pytest.raises(CheckpointError, match=r"absent\.pt: there is no such file"):
        from_preset("absent.pt")


def test_deferred_weights_come_into_being_at_the_end():
    with deferred_weights(keep=("kept",)) as slots:
        layers = [keras.layers.Dense(3, name=name) for name in ("loaded", "left", "kept")]
        for layer in layers:
            layer.build((None, 4))
        (slot,) = slots({"a": layers[0].kernel, "b": layers[2].kernel}).values()
        assert (slot.shape, slot.dtype) == ((4, 3), "float32")
        slot.assign(np.full((4, 3), 2, "float32"))
    loaded, left, kept = (array(layer.kernel) for layer in layers)
    assert (loaded == 2).all()
    assert (left == 0).all()
    assert np.std(kept) > 0


def test_other_threads_build_as_ever_meanwhile():
    layer = keras.layers.Dense(3)
    thread = threading.Thread(target=layer.build, args=((None, 4),))
    with deferred_weights():
        thread.start()
        thread.join()
    assert np.std(array(layer.kernel)) > 0


def test_a_failed_load_leaves_keras_as_it_was(vit_directory):
    add_weight = keras.layers.Layer.add_weight
    (vit_directory[1] / "model.safetensors").rename(vit_directory[1] / "pytorch_model.bin")
    stub = {"vit.layernorm.weight": np.zeros(3), "a": np.zeros(3)}
    write_safetensors(vit_directory[1] / "model.safetensors", stub)
    with pytest.raises(CheckpointError, match="it does not fit its configuration"):
        from_preset(vit_directory[1])
    assert keras.layers.Layer.add_weight is add_weight
    layer = keras.layers.Dense(3)
    layer.build((None, 4))
    assert np.std(array(layer.kernel)) > 0


def test_a_saved_model_loads_once_the_package_is_imported(tmp_path):
    small_models.clip().save(tmp_path / "a.keras")
    script = (
        f"import keras, keras_clip; print(keras.models.load_model({str(tmp_path / 'a.keras')!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert "CLIP" in done.stdout
