"""Masks hide what they say: padding given by hand or by Keras, and later tokens."""

import keras
import numpy as np
import pytest

from keras_clip import layers

IDS = np.array([[3, 1, 2, 0, 0], [1, 2, 3, 1, 0]], "int32")
SEEN = IDS > 0


def as_numpy(x):
    return keras.ops.convert_to_numpy(x)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")


@pytest.fixture(scope="module")
def block():
    return layers.TransformerEncoderBlock(2, 12)


def with_other_padding(x):
    return np.where(SEEN[..., None], x, 7.0).astype("float32")


def test_padding_mask_of_a_block(block, x):
    first, second = (as_numpy(block(t, padding_mask=SEEN)) for t in (x, with_other_padding(x)))
    np.testing.assert_allclose(first[SEEN], second[SEEN], atol=1e-6)
    assert np.abs(first[SEEN] - as_numpy(block(x))[SEEN]).max() > 1e-3
    as_numbers = as_numpy(block(x, padding_mask=SEEN.astype("int32")))
    np.testing.assert_array_equal(as_numbers, first)


def test_a_blocks_two_masks_add_up(block, x):
    first, second = SEEN.copy(), np.ones_like(SEEN)
    first[:, 3:], second[0, :] = True, SEEN[0]
    first[1, 4] = False
    both = block(x, padding_mask=first, mask=keras.ops.convert_to_tensor(second))
    np.testing.assert_allclose(
        as_numpy(both), as_numpy(block(x, padding_mask=first & second)), atol=1e-6
    )


def test_scores_of_padding_are_zero(block, x):
    _, scores = block(x, padding_mask=SEEN, return_attention_scores=True)
    scores = as_numpy(scores)
    assert scores.shape == (2, 2, 5, 5)
    assert (np.moveaxis(scores, -1, 1)[~SEEN] == 0).all()
    np.testing.assert_allclose(scores.sum(axis=-1), 1, atol=1e-6)


def test_padding_mask_of_attention_pooling(x):
    pooling = layers.AttentionPooling(2, 12)
    first, second = (as_numpy(pooling(t, padding_mask=SEEN)) for t in (x, with_other_padding(x)))
    np.testing.assert_allclose(first, second, atol=1e-6)
    assert np.abs(first - as_numpy(pooling(x))).max() > 1e-3


@pytest.mark.parametrize("kind", ["mean", "attention"])
def test_kerass_own_mask_goes_through_a_whole_encoder(kind):
    pooling = layers.TokenPooling("mean", 1) if kind == "mean" else layers.AttentionPooling(2, 12)
    embedding = keras.layers.Embedding(4, 8, mask_zero=True)
    ids = keras.Input((None,), dtype="int32")
    x = layers.ClassToken()(embedding(ids))
    x = layers.PositionEmbedding((6,))(x)
    x = layers.TransformerEncoderBlock(2, 12)(x)
    x = layers.TransformerEncoderBlock(2, 12, causal=True, layer_scale=0.5)(x)
    model = keras.Model(ids, pooling(x))
    padded = as_numpy(model(IDS))
    np.testing.assert_allclose(padded[:1], as_numpy(model(IDS[:1, :3])), atol=1e-5)
    np.testing.assert_allclose(padded[1:], as_numpy(model(IDS[1:, :4])), atol=1e-5)


def test_pooling_ends_the_mask(x):
    embedding = keras.layers.Embedding(4, 8, mask_zero=True)
    ids = keras.Input((5,), dtype="int32")
    tokens = embedding(ids)
    for pooled in (
        layers.TokenPooling("mean")(tokens),
        layers.AttentionPooling(2, 12)(tokens),
        layers.EndOfTextPooling()(tokens, ids),
    ):
        assert getattr(pooled, "_keras_mask", None) is None


@pytest.mark.parametrize("with_scores", [False, True])
def test_causal_tokens_do_not_see_later_ones(x, with_scores):
    block = layers.TransformerEncoderBlock(2, 12, causal=True)
    changed = x.copy()
    changed[:, 3:] = 7.0
    first, second = (
        as_numpy(block(t, return_attention_scores=True)[0] if with_scores else block(t))
        for t in (x, changed)
    )
    np.testing.assert_allclose(first[:, :3], second[:, :3], atol=1e-6)
    assert np.abs(first[:, 3:] - second[:, 3:]).max() > 1e-2


def test_causal_and_padding_together(x):
    block = layers.TransformerEncoderBlock(2, 12, causal=True)
    mask = np.array([[True, False, True, True, True]] * 2)
    _, scores = block(x, padding_mask=mask, return_attention_scores=True)
    allowed = np.tril(np.ones((5, 5), bool)) & mask[0]
    scores = as_numpy(scores)
    assert (scores[:, :, ~allowed] == 0).all() and (scores[:, :, allowed] > 0).all()
    np.testing.assert_allclose(
        as_numpy(block(x, padding_mask=mask)),
        as_numpy(block(x, padding_mask=mask, return_attention_scores=True)[0]),
        atol=1e-5,
    )
