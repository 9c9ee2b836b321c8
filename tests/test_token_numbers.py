"""The layers around the blocks against arithmetic by hand: tokens, pooling, ResNet blocks."""

import keras
import numpy as np
import pytest

from keras_clip import layers

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


def test_class_token_and_positions():
    x = random(2, 6, 8)
    token = layers.ClassToken(2)
    y = as_numpy(token(x))
    near(y, np.concatenate([np.tile(as_numpy(token.tokens), (2, 1, 1)), x], axis=1))
    position = layers.PositionEmbedding((2, 3), 2)
    z = as_numpy(position(y))
    near(z, y + as_numpy(position.embeddings))
    line = layers.PositionEmbedding((9,))
    near(line(x), x + as_numpy(line.embeddings)[:6])


def test_pooling():
    x = random(2, 6, 8)
    near(layers.TokenPooling()(x), x[:, 0])
    near(layers.TokenPooling("last")(x), x[:, -1])
    near(layers.TokenPooling("mean", 2)(x), x[:, 2:].mean(axis=1))
    mask = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 0]], bool)
    expected = np.stack([x[0, 1:4].mean(axis=0), x[1, 1:5].mean(axis=0)])
    near(layers.TokenPooling("mean", 1)(x, mask=mask), expected)


def test_end_of_text_is_the_first_of_its_id():
    x = random(3, 6, 8)
    ids = np.array([[1, 9, 2, 9, 0, 0], [1, 2, 3, 4, 9, 0], [1, 2, 3, 4, 5, 6]], "int32")
    near(layers.EndOfTextPooling()(x, ids), x[[0, 1, 2], [1, 4, 5]])
    near(layers.EndOfTextPooling(2)(x, ids), x[[0, 1, 2], [2, 1, 1]])
    near(layers.EndOfTextPooling(9)(x, ids), x[[0, 1, 2], [1, 4, 0]])


def test_bottleneck_pools_where_it_strides():
    x = random(2, 4, 6, 8)
    layer = layers.BottleneckBlock(2, stride=2)
    layer.build(x.shape)
    randomise(layer)
    layer.norm2.moving_variance.assign([1.5, 0.5])

    def conv(ours, norm, y):
        y = F.conv2d(y, weight(ours.kernel, 3, 2, 0, 1), padding=ours.kernel_size[0] // 2)
        stored = norm.moving_mean, norm.moving_variance, norm.gamma, norm.beta
        return F.batch_norm(y, *(weight(w) for w in stored), eps=1e-5)

    for norm in (layer.norm1, layer.norm3, layer.shortcut_norm):
        norm.moving_variance.assign(np.ones(norm.moving_variance.shape))
    y = torch.tensor(x.transpose(0, 3, 1, 2))
    z = conv(layer.conv1, layer.norm1, y).relu()
    z = F.avg_pool2d(conv(layer.conv2, layer.norm2, z).relu(), 2)
    z = conv(layer.conv3, layer.norm3, z)
    z = (z + conv(layer.shortcut, layer.shortcut_norm, F.avg_pool2d(y, 2))).relu()
    near(layer(x), z.permute(0, 2, 3, 1))


def test_attention_of_the_first_token():
    x = random(2, 2, 3, 8)
    tokens = as_numpy(layers.MeanToken()(x))
    flat = x.reshape(2, 6, 8)
    near(tokens, np.concatenate([flat.mean(axis=1, keepdims=True), flat], axis=1))
    layer = layers.FirstTokenAttention(2, 5)
    layer.build(tokens.shape)
    randomise(layer)
    y = torch.tensor(tokens).transpose(0, 1)
    named = {n: getattr(layer, n) for n in ("query", "key", "value", "out")}
    kernels = {n: weight(d.kernel, 1, 0) for n, d in named.items()}
    biases = {n: weight(d.bias) for n, d in named.items()}
    expected, _ = F.multi_head_attention_forward(
        y[:1], y, y, 8, 2, None,
        torch.cat([biases["query"], biases["key"], biases["value"]]),
        None, None, False, 0.0, kernels["out"], biases["out"],
        training=False, need_weights=False, use_separate_proj_weight=True,
        q_proj_weight=kernels["query"], k_proj_weight=kernels["key"],
        v_proj_weight=kernels["value"],
    )  # fmt: skip
    near(layer(tokens), expected[0])


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean():
    x = np.ones((4000, 2, 3), "float32")
    layer = layers.StochasticDepth(0.3, seed=0)
    assert (as_numpy(layer(x)) == 1).all()
    y = as_numpy(layer(x, training=True)).reshape(4000, 6)
    assert (y == y[:, :1]).all()
    kept = y[:, 0] > 0
    np.testing.assert_allclose(y[kept], 1 / 0.7, rtol=1e-6)
    assert abs(kept.mean() - 0.7) < 0.03
    again = as_numpy(layer(x, training=True)).reshape(4000, 6)[:, 0] > 0
    assert (again != kept).any()
    with pytest.raises(ValueError, match="rate"):
        layers.StochasticDepth(1.0)
