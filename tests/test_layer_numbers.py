"""Layers give the numbers of independent implementations: torch's own, or NumPy by hand."""

import keras
import numpy as np
import pytest

from keras_clip import layers
from keras_clip.layers.activations import get_activation
from keras_clip.layers.dense import linear

torch = pytest.importorskip("torch")
F = torch.nn.functional


def as_numpy(x):
    return keras.ops.convert_to_numpy(x)


def near(got, expected, tolerance=1e-5):
    expected = np.asarray(expected)
    np.testing.assert_allclose(
        as_numpy(got), expected, atol=tolerance * np.abs(expected).max(), rtol=0
    )


def random(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape).astype("float32")


def randomise(layer):
    """Give every weight a value of its own, so that none can be taken for another."""
    rng = np.random.default_rng(1)
    layer.set_weights([w + rng.normal(0, 0.3, w.shape) for w in layer.get_weights()])
    return layer


def weight(variable, *order):
    """A weight as a torch tensor, its axes in another order where one is given."""
    value = as_numpy(variable)
    return torch.tensor(value.transpose(order) if order else value)


@pytest.mark.parametrize("patch, bias", [(2, True), ((2, 3), False)])
def test_patch_embedding_is_a_convolution(patch, bias):
    layer = layers.PatchEmbedding(8, patch, bias)
    images = random(2, 4, 6, 3)
    layer.build(images.shape)
    randomise(layer)
    expected = F.conv2d(
        torch.tensor(images.transpose(0, 3, 1, 2)),
        weight(layer.kernel, 3, 2, 0, 1),
        weight(layer.bias) if bias else None,
        stride=layer.patch_size,
    )
    near(layer(images), expected.flatten(2).permute(0, 2, 1))


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("intel", [True, False])  # either of torch's two libraries
def test_linear_with_and_without_gradients(gradients, bias, intel, monkeypatch):
    monkeypatch.setattr("keras_clip.layers.dense._is_intel", lambda: intel)
    x, kernel, shift = random(2, 3, 8), random(8, 5), random(5) if bias else None
    expected = x.astype("float64") @ kernel + (0 if shift is None else shift)
    with torch.set_grad_enabled(gradients):
        near(linear(keras.ops.convert_to_tensor(x), kernel, shift), expected, 1e-6)
        assert linear(keras.ops.convert_to_tensor(x[:0]), kernel, shift).shape == (0, 3, 5)


def copy_attention(source, target):
    target.in_proj_weight.data = weight(source.qkv.kernel, 1, 0)
    target.in_proj_bias.data = weight(source.qkv.bias)
    target.out_proj.weight.data = weight(source.out.kernel, 1, 0)
    target.out_proj.bias.data = weight(source.out.bias)


def test_attention_is_torchs_with_its_scores():
    x = random(2, 5, 8)
    layer = layers.SelfAttention(4)
    layer.build(x.shape)
    randomise(layer)
    reference = torch.nn.MultiheadAttention(8, 4, batch_first=True).eval()
    copy_attention(layer, reference)
    y = torch.tensor(x)
    expected, scores = (t.detach() for t in reference(y, y, y, average_attn_weights=False))
    near(layer(x), expected)
    output, got = layer(x, return_attention_scores=True)
    near(output, expected)
    near(got, scores)
    near(keras.ops.sum(got, axis=-1), np.ones((2, 4, 5)))


@pytest.mark.parametrize("causal", [False, True])
def test_heads_of_any_width(causal):
    x = random(2, 5, 8)
    layer = layers.SelfAttention(2, head_dim=3, causal=causal, use_bias=False)
    layer.build(x.shape)
    randomise(layer)
    qkv = torch.tensor(x) @ weight(layer.qkv.kernel)
    query, key, value = (t.unflatten(-1, (2, 3)).transpose(1, 2) for t in qkv.chunk(3, dim=-1))
    y = F.scaled_dot_product_attention(query, key, value, is_causal=causal)
    expected = y.transpose(1, 2).flatten(2) @ weight(layer.out.kernel) + weight(layer.out.bias)
    near(layer(x), expected)
    near(layer(x, return_attention_scores=True)[0], expected)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_block_is_torchs(causal, padded):
    x = random(3, 5, 8)
    layer = layers.TransformerEncoderBlock(2, 12, causal=causal, epsilon=1e-5)
    layer.build(x.shape)
    randomise(layer)
    reference = torch.nn.TransformerEncoderLayer(
        8, 2, 12, 0.0, "gelu", 1e-5, batch_first=True, norm_first=True
    ).eval()
    copy_attention(layer.attention, reference.self_attn)
    for ours, theirs in ((layer.mlp.fc1, reference.linear1), (layer.mlp.fc2, reference.linear2)):
        theirs.weight.data = weight(ours.kernel, 1, 0)
        theirs.bias.data = weight(ours.bias)
    for ours, theirs in ((layer.norm1, reference.norm1), (layer.norm2, reference.norm2)):
        theirs.weight.data, theirs.bias.data = weight(ours.gamma), weight(ours.beta)
    seen = np.arange(5)[None] < np.array([5, 3, 4] if padded else [5, 5, 5])[:, None]
    with torch.no_grad():
        expected = reference(
            torch.tensor(x),
            src_mask=torch.triu(torch.ones(5, 5, dtype=torch.bool), 1) if causal else None,
            src_key_padding_mask=torch.tensor(~seen) if padded else None,
        ).numpy()
    output = as_numpy(layer(x, padding_mask=seen if padded else None))
    near(output[seen], expected[seen])
    scored, _ = layer(x, padding_mask=seen if padded else None, return_attention_scores=True)
    near(as_numpy(scored)[seen], expected[seen])


def test_layer_scale_multiplies_each_branch():
    x = random(2, 5, 8)
    plain = layers.TransformerEncoderBlock(2, 12)
    scaled = layers.TransformerEncoderBlock(2, 12, layer_scale=0.5)
    plain.build(x.shape)
    scaled.build(x.shape)
    scaled.set_weights([*plain.get_weights(), *scaled.get_weights()[-2:]])
    y = x + 0.5 * as_numpy(plain.attention(plain.norm1(x)))
    near(scaled(x), y + 0.5 * as_numpy(plain.mlp(plain.norm2(y))))


def test_attention_pooling_by_hand():
    x = random(2, 5, 8)
    layer = layers.AttentionPooling(2, 12)
    layer.build(x.shape)
    randomise(layer)

    def dense(ours, y):
        return y @ weight(ours.kernel) + weight(ours.bias)

    def heads(y):
        return y.unflatten(-1, (2, 4)).transpose(-3, -2)

    query = heads(dense(layer.query, weight(layer.probe)[None])).expand(2, -1, -1, -1)
    key, value = dense(layer.key_value, torch.tensor(x)).chunk(2, dim=-1)
    y = F.scaled_dot_product_attention(query, heads(key), heads(value))
    y = dense(layer.out, y.transpose(1, 2).flatten(1))
    z = F.layer_norm(y, (8,), weight(layer.norm.gamma), weight(layer.norm.beta), 1e-6)
    near(layer(x), y + dense(layer.mlp.fc2, F.gelu(dense(layer.mlp.fc1, z))))


def test_activations():
    x = np.linspace(-6, 6, 101).astype("float32")
    y, z = torch.tensor(x), keras.ops.convert_to_tensor(x)
    near(get_activation("gelu")(z), F.gelu(y))
    near(get_activation("gelu_tanh")(z), F.gelu(y, approximate="tanh"))
    near(get_activation("quick_gelu")(z), x / (1 + np.exp(-1.702 * x)))
    with pytest.raises(ValueError, match="swish"):
        get_activation("swish")


def test_layer_norm():
    x = random(2, 5, 8)
    layer = layers.LayerNorm(1e-3)
    layer.build(x.shape)
    randomise(layer)
    near(layer(x), F.layer_norm(torch.tensor(x), (8,), *map(weight, layer.weights), 1e-3))


def test_unit_norm_and_its_gradient_at_zero():
    x = random(3, 8)
    near(layers.UnitNorm()(x), F.normalize(torch.tensor(x), dim=-1))
    near(layers.UnitNorm()(x * np.float32(1e-9)), F.normalize(torch.tensor(x), dim=-1))
    assert (as_numpy(layers.UnitNorm()(np.zeros((1, 8), "float32"))) == 0).all()


def test_logit_scale():
    images, texts = random(3, 8), random(2, 8)
    layer = layers.LogitScale(initial_scale=20.0)
    near(layer(images, texts), 20 * images @ texts.T)
    near(layer(images, texts[:1]), 20 * images @ texts[:1].T)


@pytest.mark.parametrize(("gradient", "limit"), [(-1.0, 50.0), (1.0, 1.0)])
def test_logit_scale_stays_within_its_limits(gradient, limit):
    layer = layers.LogitScale(initial_scale=20.0, max_scale=50.0)
    layer.build((3, 8), (2, 8))
    step = np.full((), gradient, "float32")
    keras.optimizers.SGD(100.0).apply([keras.ops.convert_to_tensor(step)], layer.trainable_weights)
    near(keras.ops.exp(layer.log_scale), limit)
