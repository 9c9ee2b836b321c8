"""Adapters: what they add, what they leave alone, files of them, merging, on both towers."""

import json

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import tiny_clip, tiny_images, tiny_pairs, tiny_tokenizer, tiny_vit

from keras_clip import finetune
from keras_clip.convert import CheckpointError, open_checkpoint, write_safetensors
from keras_clip.finetune.adapters import adapted_layers, adapter_weights
from keras_clip.models.weights import named_weights
from keras_clip.models.weights_hash import weights_hash

# What is compiled costs JAX seconds: there, these are among the slow tests.
compiled = pytest.mark.slow if keras.backend.backend() == "jax" else (lambda test: test)
LAYERS = ("attention/qkv", "attention/out", "mlp/fc1", "mlp/fc2")


def arrays(model):
    return {name: ops.convert_to_numpy(weight) for name, weight in named_weights(model).items()}


def trained(model, seed=0):
    """Adapters as training leaves them: random numbers in both factors."""
    random = np.random.default_rng(seed)
    for weight in adapter_weights(model).values():
        weight.assign(random.normal(0, 0.1, weight.shape))
    return model


@pytest.fixture(scope="module")
def tuned():
    """A CLIP that has learnt a batch by adapters: (it, logits before, its weights before)."""
    keras.utils.set_random_seed(0)
    clip, pairs = tiny_clip(), tiny_pairs(6)
    before, weights = clip.predict(pairs, verbose=0)["logits"], arrays(clip)
    finetune.lora(clip, rank=2, alpha=4)
    untouched = clip.predict(pairs, verbose=0)["logits"]
    np.testing.assert_array_equal(untouched, before)  # the second factor is 0
    clip.compile(keras.optimizers.Adam(0.02))
    clip.fit(pairs, batch_size=6, epochs=2, verbose=0)
    return clip, before, weights


def test_only_adapters_of_both_towers_train(tuned):
    clip, before, weights = tuned
    wanted = [f"{t}/block_0/{layer}" for t in ("vision", "text") for layer in LAYERS]
    assert [path for path, _ in adapted_layers(clip)] == wanted
    adapters = adapter_weights(clip)
    assert len(clip.trainable_variables) == len(adapters) == 16
    assert all(weight.shape[1 - k % 2] == 2 for k, weight in enumerate(adapters.values()))
    for name, array in weights.items():
        np.testing.assert_array_equal(ops.convert_to_numpy(named_weights(clip)[name]), array)
    assert not np.allclose(clip.predict(tiny_pairs(6), verbose=0)["logits"], before, atol=0.1)
    assert len(named_weights(clip)) == len(weights) + 16  # no two have one name


def test_the_sum_is_that_of_the_paper(tuned):
    (layer,) = [
        layer for path, layer in adapted_layers(tuned[0]) if path.endswith("text/block_0/mlp/fc1")
    ]
    rows = np.random.default_rng(0).normal(size=(3, 8))
    kernel, a, b, bias = (
        ops.convert_to_numpy(weight).astype("float64")
        for weight in (layer._kernel, layer.lora_kernel_a, layer.lora_kernel_b, layer.bias)
    )
    expected = rows @ kernel + 4 / 2 * (rows @ a) @ b + bias
    found = ops.convert_to_numpy(layer(rows.astype("float32")))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_file_of_adapters_makes_another_copy_of_the_base_answer_the_same(tuned, tmp_path):
    clip, _, weights = tuned
    path = tmp_path / "new" / "adapters.safetensors"
    size = finetune.save_adapters(clip, path)
    assert size == path.stat().st_size
    with open_checkpoint(path) as checkpoint:
        assert sorted(checkpoint) == sorted(adapter_weights(clip))
        about = json.loads(checkpoint.metadata["keras_clip_adapters"])
    assert (about["rank"], about["alpha"]) == (2, 4)
    keras.utils.set_random_seed(1)
    other = tiny_clip()
    with pytest.raises(ValueError, match="trained on other weights"):
        finetune.load_adapters(other, path)
    assert not adapted_layers(other) and len(other.trainable_variables) == len(weights)
    for name, weight in named_weights(other).items():
        weight.assign(weights[name])
    assert about["base"] == weights_hash(other)
    finetune.load_adapters(other, path)
    pairs = tiny_pairs(6)
    expected = clip.predict(pairs, verbose=0)["logits"]
    np.testing.assert_array_equal(other.predict(pairs, verbose=0)["logits"], expected)
    assert len(other.trainable_variables) == 16
    with pytest.raises(ValueError, match="adapters already"):
        finetune.load_adapters(other, path)


@compiled
def test_merged_is_the_same_model_without_adapters(tuned, tmp_path):
    clip, _, weights = tuned
    pairs = tiny_pairs(6)
    expected = clip.predict(pairs, verbose=0)
    merged = finetune.merge_adapters(finetune.load_adapters(*_again(clip, weights, tmp_path)))
    found = merged.predict(pairs, verbose=0)
    scale = merged.scale  # logits are this many times as large as cosines
    np.testing.assert_allclose(found["logits"], expected["logits"], atol=1e-6 * scale)
    for key in ("image_embeddings", "text_embeddings"):
        np.testing.assert_allclose(found[key], expected[key], atol=1e-6)
    assert set(named_weights(merged)) == set(weights) and not adapted_layers(merged)
    assert len(merged.trainable_variables) == len(weights)
    merged.save_to_preset(tmp_path / "preset")
    with open_checkpoint(tmp_path / "preset" / "model.safetensors") as checkpoint:
        assert set(checkpoint) == set(weights)
    merged.save(tmp_path / "merged.keras")
    loaded = keras.saving.load_model(tmp_path / "merged.keras")
    np.testing.assert_array_equal(loaded.predict(pairs, verbose=0)["logits"], found["logits"])
    trained(finetune.lora(merged, rank=1))  # once more
    assert np.abs(merged.predict(pairs, verbose=0)["logits"] - found["logits"]).max() > 0.01
    with pytest.raises(ValueError, match="no adapters to merge"):
        finetune.merge_adapters(loaded)


def _again(clip, weights, tmp_path):
    """A second model of the base, and a file of the adapters."""
    finetune.save_adapters(clip, tmp_path / "a.safetensors")
    other = tiny_clip()
    for name, weight in named_weights(other).items():
        weight.assign(weights[name])
    return other, tmp_path / "a.safetensors"


@compiled
def test_the_head_of_a_classifier_trains_and_is_kept_with_the_adapters(tmp_path):
    vit, pixels = tiny_vit(num_classes=3), tiny_images(4)
    base = finetune.copied(vit)
    finetune.lora(vit, rank=1)
    assert {"head/kernel", "head/bias"} < set(adapter_weights(vit))
    trained(vit)
    finetune.save_adapters(vit, tmp_path / "a.safetensors")
    base.get_layer("head").kernel.assign(ops.zeros((8, 3)))  # another head is no other base
    loaded = finetune.load_adapters(base, tmp_path / "a.safetensors")
    expected = vit.predict(pixels, verbose=0)
    np.testing.assert_array_equal(loaded.predict(pixels, verbose=0), expected)
    with pytest.raises(ValueError, match="other names or shapes"):
        finetune.load_adapters(tiny_like(vit, num_classes=5), tmp_path / "a.safetensors")


def tiny_like(vit, **changes):
    """A ViT of the same encoder weights, adapters left out."""
    made = tiny_vit(**changes)
    theirs = named_weights(vit)
    for name, weight in named_weights(made).items():
        if not name.startswith("head"):
            weight.assign(theirs[name])
    return made


@compiled
def test_convolutions_and_embeddings_get_adapters_by_their_names():
    clip = tiny_clip(tokenizer=tiny_tokenizer())
    pairs = tiny_pairs(3)
    finetune.lora(clip, rank=2, targets="token_embedding|projection")
    paths = [path for path, _ in adapted_layers(clip)]
    assert paths == ["vision/projection", "text/token_embedding", "text/projection"]
    expected = trained(clip).predict(pairs, verbose=0)["text_embeddings"]
    found = finetune.merge_adapters(clip).predict(pairs, verbose=0)["text_embeddings"]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_locked_tower_gets_no_adapters_and_stays_locked():
    clip = finetune.lora(finetune.lit(tiny_clip()))
    assert all(path.startswith("text/") for path, _ in adapted_layers(clip))
    finetune.merge_adapters(clip)
    assert not clip.get_layer("vision").trainable_variables
    assert clip.get_layer("text").trainable_variables


def test_mixed_precision_merges_in_float32():
    vit = trained(finetune.lora(tiny_vit(num_classes=3, dtype="mixed_bfloat16"), rank=2))
    _, layer = adapted_layers(vit)[0]
    a, b, kernel = (
        ops.convert_to_numpy(x).astype("float64")
        for x in (layer.lora_kernel_a, layer.lora_kernel_b, layer._kernel)
    )
    finetune.merge_adapters(vit)
    assert layer.kernel.dtype == "float32"
    np.testing.assert_allclose(ops.convert_to_numpy(layer.kernel), kernel + a @ b, atol=1e-7)


def test_refusals(tmp_path):
    vit = tiny_vit()
    with pytest.raises(ValueError, match=r"fits targets='conv'; it has .*fc1"):
        finetune.lora(vit, targets="conv")
    with pytest.raises(ValueError, match="rank is a whole number"):
        finetune.lora(vit, rank=0)
    with pytest.raises(ValueError, match="no adapters to save"):
        finetune.save_adapters(vit, tmp_path / "a.safetensors")
    finetune.lora(vit)
    with pytest.raises(ValueError, match="adapters already"):
        finetune.lora(vit)
    with pytest.raises(ValueError, match=r"ends with \.safetensors"):
        finetune.save_adapters(vit, tmp_path / "a.h5")
    with pytest.raises(ValueError, match="merge_adapters"):
        vit.save_to_preset(tmp_path / "preset")
    finetune.save_adapters(vit, tmp_path / "vit.safetensors")
    with pytest.raises(ValueError, match="belong to layers that 'clip' does not have"):
        finetune.load_adapters(tiny_clip(), tmp_path / "vit.safetensors")


@pytest.mark.parametrize(
    "about", [None, "{", "[]", '{"version": 1}', '{"version": 9, "rank": 1, "alpha": 1, '
              '"layers": ["x"], "base": "y"}'],
)  # fmt: skip
def test_other_files_are_refused(about, tmp_path):
    metadata = None if about is None else {"keras_clip_adapters": about}
    write_safetensors(tmp_path / "x.safetensors", {"a": np.zeros(2, "float32")}, metadata)
    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        finetune.load_adapters(tiny_vit(), tmp_path / "x.safetensors")
