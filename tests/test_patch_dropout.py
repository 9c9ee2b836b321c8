"""Patch dropout: which tokens stay, in training alone, and that the blocks then work on fewer."""

import functools

import keras
import numpy as np
import pytest
from tiny_models import tiny_images, tiny_vit

from keras_clip.layers import PatchDropout, TransformerEncoderBlock
from keras_clip.models.config import ViTConfig


def as_numpy(x):
    return keras.ops.convert_to_numpy(x)


def numbered(batch, length, width=3):
    """Tokens that tell their sample and place: (batch, length, width)."""
    tokens = np.arange(batch * length, dtype="float32").reshape(batch, length, 1)
    return np.repeat(tokens, width, axis=2)


@pytest.mark.parametrize(
    ("patches", "prefix", "rate", "kept"),
    # As in open_clip: int(patches * (1 - rate)), at least 1.
    [(49, 1, 0.5, 24), (196, 1, 0.75, 49), (10, 5, 0.3, 7), (9, 0, 0.1, 8), (4, 2, 0.9, 1)],
)
def test_a_random_part_of_the_patches_stays(patches, prefix, rate, kept):
    x = numbered(4, prefix + patches)
    layer = PatchDropout(rate, prefix, seed=3)
    np.testing.assert_array_equal(as_numpy(layer(x)), x)
    first, second = (as_numpy(layer(x, training=True)) for _ in range(2))
    assert first.shape == (4, prefix + kept, 3)
    np.testing.assert_array_equal(first[:, :prefix], x[:, :prefix])
    rows = [set(sample[prefix:, 0]) for sample in first]
    for sample, chosen in zip(x, rows, strict=True):
        assert len(chosen) == kept and chosen <= set(sample[prefix:, 0])
    np.testing.assert_array_equal(first[..., 0], first[..., 2])
    if kept > 1:
        places = {tuple(sorted(row - x[i, 0, 0] for row in rows[i])) for i in range(4)}
        assert len(places) > 1  # every sample has its own
        assert set(first[0, :, 0]) != set(second[0, :, 0])  # and every step
    again = PatchDropout(rate, prefix, seed=3)
    np.testing.assert_array_equal(as_numpy(again(x, training=True)), first)


def test_every_patch_is_equally_likely():
    x = numbered(4000, 9)
    kept = as_numpy(PatchDropout(0.5, 1, seed=0)(x, training=True))[:, 1:, 0]
    counts = np.bincount((kept - x[:, :1, 0]).astype(int).ravel(), minlength=9)[1:]
    assert counts.sum() == 16000
    assert np.abs(counts - 2000).max() < 5 * np.sqrt(4000 / 4)  # five standard deviations


def test_open_clip_keeps_as_many():
    open_clip = pytest.importorskip("open_clip")
    torch = pytest.importorskip("torch")
    for patches, rate in ((49, 0.5), (49, 0.75), (196, 0.3), (256, 0.9), (3, 0.9), (50, 0.1)):
        theirs = open_clip.transformer.PatchDropout(rate).train()(torch.zeros(1, patches + 1, 2))
        ours = PatchDropout(rate)(numbered(1, patches + 1), training=True)
        assert ours.shape[1] == theirs.shape[1]


def test_gradients_go_to_what_stayed(backend):
    x = keras.Variable(numbered(2, 7))
    layer = PatchDropout(0.5, seed=1)
    expected = np.zeros((2, 7, 3), "float32")
    kept = as_numpy(PatchDropout(0.5, seed=1)(numbered(2, 7), training=True))[..., 0].astype(int)
    expected.reshape(14, 3)[kept.ravel()] = 1
    if backend == "jax":
        import jax

        gradient = jax.grad(lambda x: layer(x, training=True).sum())(x.value)
    elif backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            total = tf.reduce_sum(layer(tf.convert_to_tensor(x.value), training=True))
        gradient = tf.convert_to_tensor(tape.gradient(total, x.value))
    else:
        layer(x.value, training=True).sum().backward()
        gradient = x.value.grad
    np.testing.assert_array_equal(as_numpy(gradient), expected)


def test_errors():
    with pytest.raises(ValueError, match="rate is at least 0 and below 1, not 1"):
        PatchDropout(1)
    with pytest.raises(ValueError, match="more than the 3 of the prefix"):
        PatchDropout(0.5, 3)(numbered(1, 3), training=True)
    inputs = keras.Input((None, 3))
    masked = keras.Model(inputs, PatchDropout(0.5)(keras.layers.Masking()(inputs)))
    assert masked(numbered(2, 5)).shape == (2, 5, 3)
    with pytest.raises(ValueError, match="leave the mask out"):
        masked(numbered(2, 5), training=True)


# --- in a ViT


POOLINGS = {
    "class": {"pooling": "class_token", "num_register_tokens": 2, "use_norm_pre": True},
    "both": {"pooling": "class_and_mean", "num_prefix_tokens": 2},
    "attention": {"pooling": "attention", "num_prefix_tokens": 0, "use_prefix_positions": False},
}


def test_without_a_rate_there_is_no_layer():
    config = ViTConfig(hidden_dim=8, num_layers=1, num_heads=1, mlp_dim=8)
    assert config.patch_dropout_rate == 0
    old = {k: v for k, v in config.to_dict().items() if k != "patch_dropout_rate"}
    assert ViTConfig.from_dict(old) == config
    plain, dropping = tiny_vit(), tiny_vit(patch_dropout_rate=0.5)
    assert "patch_dropout" not in {layer.name for layer in plain.layers}
    assert [w.path for w in dropping.weights] == [w.path for w in plain.weights]
    names = [layer.name for layer in tiny_vit(patch_dropout_rate=0.5, use_norm_pre=True).layers]
    where = names.index("patch_dropout")
    assert names[where - 1 : where + 2] == ["position_embedding", "patch_dropout", "norm_pre"]
    dropping.set_weights(plain.get_weights())
    images = tiny_images(2)
    np.testing.assert_array_equal(as_numpy(dropping(images)), as_numpy(plain(images)))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_training_sees_what_a_shorter_sequence_gives(pooling):
    """The layers behind, run one by one on the tokens that stayed, give the model's output."""
    model = tiny_vit(patch_dropout_rate=0.5, num_classes=3, **POOLINGS[pooling])
    images = tiny_images(2)
    seed = model.get_layer("patch_dropout").seed_generator.state
    state = as_numpy(seed)
    output = as_numpy(model(images, training=True))
    seed.assign(state)
    layers = model.layers[1:]
    x = images
    for layer in layers:
        x = layer(x, training=True) if layer.name == "patch_dropout" else layer(x)
        if layer.name == "patch_dropout":
            prefix = model.config.num_prefix_tokens + model.config.num_register_tokens
            assert x.shape[1] == prefix + 3  # of 6 patches
    np.testing.assert_allclose(output, as_numpy(x), atol=1e-6)


def test_a_training_step_computes_fewer_tokens(monkeypatch):
    lengths = []
    whole = TransformerEncoderBlock.call

    @functools.wraps(whole)
    def call(self, x, *args, **kwargs):
        lengths.append(x.shape[1])
        return whole(self, x, *args, **kwargs)

    monkeypatch.setattr(TransformerEncoderBlock, "call", call)
    model = tiny_vit(patch_dropout_rate=0.5, num_classes=3)
    images = tiny_images(4)
    for training, length in ((True, 1 + 3), (False, 1 + 6)):  # of 6 patches
        lengths.clear()
        model(images, training=training)
        assert lengths == [length, length]
    model.compile("sgd", "sparse_categorical_crossentropy")
    lengths.clear()
    assert np.isfinite(model.train_on_batch(images, np.arange(4) % 3))
    assert lengths[-2:] == [1 + 3, 1 + 3]  # what was traced last
