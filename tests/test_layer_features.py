"""What layers can do beyond their numbers: adapters, quantisation, remat, flash, clear errors."""

import contextlib

import keras
import numpy as np
import pytest
from tiny_models import tiny_clip, tiny_images, tiny_pairs, tiny_vit

from keras_clip import layers


def as_numpy(x):
    return keras.ops.convert_to_numpy(x)


# --- sizes and grids


def test_patches_of_any_image_whose_size_is_known_late():
    layer = layers.PatchEmbedding(8, (2, 3))
    images = tiny_images(2)
    fixed = as_numpy(layer(images))
    free = keras.Model(inputs := keras.Input((None, None, 3)), layer(inputs))
    assert free.output.shape == (None, None, 8)
    np.testing.assert_allclose(free.predict_on_batch(images), fixed, atol=1e-5)
    np.testing.assert_allclose(as_numpy(layer(images[:, :4])), fixed[:, :8], atol=1e-5)


def test_image_that_does_not_divide():
    with pytest.raises(ValueError, match=r"8 x 12 pixels.*patches of 4 x 5"):
        layers.PatchEmbedding(8, (4, 5))(tiny_images(1))
    with pytest.raises(ValueError, match="images"):
        layers.PatchEmbedding(8, 4)(tiny_images(1)[0])
    for wrong in (0, (4,), (2, 2, 2)):
        with pytest.raises(ValueError, match="patch_size"):
            layers.PatchEmbedding(8, wrong)


@pytest.mark.parametrize(
    "length, prefix, found",
    [(10, None, ((3, 3), 1)), (9, None, ((3, 3), 0)), (7, None, ((7,), 0)), (13, 4, ((3, 3), 4))],
)
def test_positions_find_their_grid(length, prefix, found):
    layer = layers.PositionEmbedding(num_prefix_tokens=prefix)
    layer.build((None, length, 8))
    assert (layer.grid_size, layer.num_prefix_tokens) == found
    again = layers.PositionEmbedding.from_config(layer.get_config())
    again.build((None, length, 8))
    assert again.embeddings.shape == layer.embeddings.shape


def test_positions_of_the_wrong_length():
    x = np.zeros((1, 7, 8), "float32")
    wrong = r"10 positions.*\(3, 3\).*7 tokens.*size that it was built for"
    with pytest.raises(ValueError, match=wrong):
        layers.PositionEmbedding((3, 3))(x)
    with pytest.raises(ValueError, match=r"5 positions.*shorten"):
        layers.PositionEmbedding((5,))(x)
    with pytest.raises(ValueError, match="grid_size"):
        layers.PositionEmbedding()(keras.Input((None, 8)))
    with pytest.raises(ValueError, match="grid_size"):
        layers.PositionEmbedding((1, 2, 3))


def test_width_that_the_heads_do_not_divide():
    x = np.zeros((1, 4, 8), "float32")
    for layer in (
        layers.SelfAttention(3),
        layers.TransformerEncoderBlock(3, 8),
        layers.AttentionPooling(3, 8),
        layers.FirstTokenAttention(3, 8),
    ):
        with pytest.raises(ValueError, match=r"8.*num_heads=3"):
            layer(x)
    assert layers.SelfAttention(3, head_dim=4)(x).shape == x.shape


@pytest.mark.parametrize("wrong", [{"mode": "max"}, {"mode": None}])
def test_unknown_pooling(wrong):
    with pytest.raises(ValueError, match="mode is one of"):
        layers.TokenPooling(**wrong)


def test_no_tokens():
    with pytest.raises(ValueError, match="num_tokens"):
        layers.ClassToken(0)


def test_layers_plug_into_any_model():
    images = keras.Input((8, 8, 3))
    x = layers.PatchEmbedding(8, 4)(images)
    x = layers.ClassToken()(x)
    x = layers.PositionEmbedding()(x)
    x = layers.TransformerEncoderBlock(num_heads=2, mlp_dim=12)(x)
    model = keras.Model(images, keras.layers.Dense(3)(layers.TokenPooling()(x)))
    assert model(np.zeros((2, 8, 8, 3), "float32")).shape == (2, 3)


# --- what Keras offers to every model


@pytest.fixture
def flash_attention():
    keras.config.enable_flash_attention()
    yield
    keras.config.disable_flash_attention()


def test_flash_attention_is_left_out_where_there_is_none(flash_attention):
    x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    for layer in (layers.SelfAttention(2), layers.AttentionPooling(2, 8)):
        assert np.isfinite(as_numpy(layer(x))).all()


def test_adapters_train_and_the_kernels_stay():
    model = tiny_vit(num_classes=3)
    images = tiny_images(4)
    before = as_numpy(model(images))
    blocks = [model.get_layer(f"block_{i}") for i in range(2)]
    dense = [d for b in blocks for d in (b.attention.qkv, b.attention.out, b.mlp.fc1, b.mlp.fc2)]
    for layer in dense:
        layer.enable_lora(2)
    np.testing.assert_allclose(as_numpy(model(images)), before, atol=1e-6)
    kernels = [as_numpy(d._kernel) for d in dense]
    adapters = [as_numpy(d.lora_kernel_b) for d in dense]
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    model.fit(images, np.arange(4) % 3, verbose=0)
    for layer, kernel, adapter in zip(dense, kernels, adapters, strict=True):
        np.testing.assert_array_equal(as_numpy(layer._kernel), kernel)
        assert (as_numpy(layer.lora_kernel_b) != adapter).any(), layer.path
    assert np.abs(as_numpy(model(images)) - before).max() > 1e-3


def test_int8_stays_close():
    model = tiny_vit(num_classes=3, head_activation=None)
    images = tiny_images(4)
    before = as_numpy(model(images))
    model.quantize("int8")
    for i in range(2):
        block = model.get_layer(f"block_{i}")
        for layer in (block.attention.qkv, block.attention.out, block.mlp.fc1, block.mlp.fc2):
            assert layer.quantization_mode == "int8"
            assert keras.backend.standardize_dtype(layer._kernel.dtype) == "int8"
    after = model.predict_on_batch(images)
    assert 0 < np.abs(after - before).max() < 0.05 * np.abs(before).max()


def trained_by_a_step(model, weights, images):
    model.set_weights(weights)
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    loss = model.fit(images, np.arange(4) % 3, verbose=0).history["loss"]
    return loss, [as_numpy(w) for w in model.weights]


def remat_scope():
    if keras.backend.backend() == "tensorflow":  # Keras's own Dense fails there under "full"
        return keras.RematScope("list_of_layers", layer_names=["block_0", "block_1"])
    return keras.RematScope("full")


def test_remat_drops_again_what_was_dropped():
    """The same loss and weights as without it, step by step."""
    found = []
    for scope in (contextlib.nullcontext(), remat_scope()):
        keras.utils.set_random_seed(1)
        with scope:
            model = tiny_vit(num_classes=3, dropout_rate=0.3, stochastic_depth_rate=0.3)
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        losses = [model.train_on_batch(tiny_images(4), np.arange(4) % 3) for _ in range(3)]
        found.append([*losses, *(as_numpy(w) for w in model.variables)])
    for plain, again in zip(*found, strict=True):
        np.testing.assert_allclose(again, plain, atol=1e-5)


def test_remat_of_both_towers():
    with remat_scope():
        model = tiny_clip()
    model.compile("sgd")
    assert model.fit(tiny_pairs(4), batch_size=4, verbose=0).history["loss"][0] > 0


def test_remat_changes_nothing():
    images = tiny_images(4)
    config = {"num_classes": 3, "pooling": "mean"}
    model = tiny_vit(**config)
    weights = model.get_weights()
    loss, expected = trained_by_a_step(model, weights, images)
    with remat_scope():
        model = tiny_vit(**config)
    assert model.get_layer("block_0")._remat_mode is not None
    got_loss, got = trained_by_a_step(model, weights, images)
    np.testing.assert_allclose(got_loss, loss, rtol=1e-6)
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
