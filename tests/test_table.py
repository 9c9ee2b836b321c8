"""The table engine reads what it wrote, and one error tells everything that does not fit."""

import numpy as np
import pytest

from keras_clip.convert import CheckpointError
from keras_clip.convert import transforms as t
from keras_clip.convert.table import Row, Table, over_layers, read, under, write


class Variable:
    """Stands for a backend's variable."""

    def __init__(self, shape, dtype="float32"):
        self.shape, self.dtype, self.value = shape, dtype, None

    def assign(self, value):
        assert value.shape == self.shape
        self.value = np.array(value)


def random(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


TRANSFORMS = {
    "same": (t.SAME, (5, 3)),
    "scalar": (t.SAME, ()),
    "linear": (t.LINEAR, (300, 7)),
    "conv": (t.CONV, (2, 4, 3, 5)),
    "unbatched": (t.UNBATCHED, (1, 6)),
    "batched": (t.BATCHED, (4, 6)),
    "split_heads": (t.split_heads(3), (4, 12)),
    "split_heads_bias": (t.split_heads(3), (12,)),
    "merge_heads": (t.merge_heads(3), (12, 4)),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_and_its_inverse(name):
    transform, shape = TRANSFORMS[name]
    weight, out = random(*shape), np.empty(shape, "float32")
    values = transform.write(weight)
    assert values.shape == transform.file_shape(shape)
    transform.read(values, out)
    np.testing.assert_array_equal(out, weight)


@pytest.mark.parametrize("name", ["same", "linear", "split_heads"])
def test_parts_make_up_the_weight(name):
    transform, (rows, columns) = TRANSFORMS[name]
    weight, out = random(rows, 3 * columns), np.empty((rows, 3 * columns), "float32")
    for k in range(3):
        piece = t.part(k, 3, transform)
        values = piece.write(weight)
        np.testing.assert_array_equal(
            values, transform.write(weight[:, k * columns :][:, :columns])
        )
        assert values.shape == piece.file_shape(weight.shape)
        piece.read(values, out)
    np.testing.assert_array_equal(out, weight)


def test_conv_is_what_pytorch_means():
    out = np.empty((2, 4, 3, 5), "float32")
    values = random(5, 3, 2, 4)
    t.CONV.read(values, out)
    assert out[1, 2, 0, 4] == values[4, 0, 1, 2]


BLOCK = (
    Row("q", "qkv", t.part(0, 3, t.LINEAR)),
    Row("k", "qkv", t.part(1, 3, t.LINEAR)),
    Row("v", "qkv", t.part(2, 3, t.LINEAR)),
)
TABLE = Table(
    (*over_layers(BLOCK, "layers.{i}.", "block_{i}/", 2), *under((Row("w", "x"),), "a.", "b/")),
    ignore=("*.position_ids",),
    float32=("a.*",),
)
SHAPES = {"block_0/qkv": (4, 12), "block_1/qkv": (4, 12), "b/x": (3,)}


def variables():
    return {name: Variable(shape) for name, shape in SHAPES.items()}


def checkpoint(dtype="float32"):
    weights = {name: random(*shape) for name, shape in SHAPES.items()}
    return weights, {name: make() for name, make in write(TABLE, weights, dtype).items()}


def test_written_is_read_back():
    weights, tensors = checkpoint()
    assert set(tensors) == {f"layers.{i}.{n}" for i in range(2) for n in "qkv"} | {"a.w"}
    filled = variables()
    read(TABLE, {**tensors, "x.position_ids": np.arange(3)}, filled)
    for name, weight in weights.items():
        np.testing.assert_array_equal(filled[name].value, weight)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_dtype_is_stored_but_not_where_the_layout_says_float32(dtype):
    weights, tensors = checkpoint(dtype)
    assert tensors["layers.0.q"].dtype.name == dtype and tensors["a.w"].dtype == "float32"
    filled = variables()
    read(TABLE, tensors, filled)
    assert filled["b/x"].value.dtype == "float32"
    again = write(TABLE, {name: variable.value for name, variable in filled.items()}, dtype)
    for name, make in again.items():
        np.testing.assert_array_equal(make(), tensors[name])
    np.testing.assert_array_equal(filled["b/x"].value, weights["b/x"])


def test_one_error_lists_everything_and_nothing_is_filled():
    _, tensors = checkpoint()
    del tensors["layers.0.k"]
    tensors.update({"layers.1.q": random(4, 5), "new": random(1), "layers.2.q": random(4, 4)})
    filled = {**variables(), "b/y": Variable((2,))}
    with pytest.raises(CheckpointError) as caught:
        read(TABLE, tensors, filled)
    message = str(caught.value)
    for line in (
        "- layers.0.k",
        "! layers.1.q: file (4, 5), model (4, 4)",
        "+ new",
        "+ layers.2.q",
        "- b/y",
    ):
        assert line in message
    assert all(variable.value is None for variable in filled.values())


def test_a_weight_that_the_model_lacks_is_extra():
    _, tensors = checkpoint()
    filled = variables()
    del filled["b/x"]
    with pytest.raises(CheckpointError, match=r"\+ a\.w: for b/x"):
        read(TABLE, tensors, filled)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_damaged_values_name_their_tensor(bad):
    _, tensors = checkpoint()
    tensors["layers.1.v"] = np.array(tensors["layers.1.v"])
    tensors["layers.1.v"][1, 2] = bad
    with pytest.raises(CheckpointError, match=r"layers\.1\.v: holds NaN or infinity") as caught:
        read(TABLE, tensors, variables())
    assert "layers.1.k" not in str(caught.value)


def test_large_but_finite_values_are_not_damage():
    _, tensors = checkpoint()
    tensors["a.w"] = np.full(3, 3e38, "float32")
    read(TABLE, tensors, variables())


def test_without_leaves_weights_alone():
    _, tensors = checkpoint()
    filled = variables()
    kept = filled.pop("b/x")
    read(TABLE.without("b/"), tensors, filled)
    assert kept.value is None and filled["block_0/qkv"].value is not None


def test_adapt_takes_another_shape():
    _, tensors = checkpoint()
    tensors["a.w"] = np.arange(5, dtype="float32")
    filled = variables()
    read(TABLE, tensors, filled, adapt={"b/x": ((5,), lambda values: values[::2])})
    np.testing.assert_array_equal(filled["b/x"].value, [0, 2, 4])


def test_the_callers_arrays_stay_the_callers():
    _, tensors = checkpoint()
    tensors["a.w"] = np.array(tensors["a.w"])

    class Keeping(Variable):
        def assign(self, value):
            self.value = value

    filled = {**variables(), "b/x": Keeping((3,))}
    read(TABLE, tensors, filled)
    assert not np.shares_memory(filled["b/x"].value, tensors["a.w"])


def test_tables_are_checked():
    with pytest.raises(ValueError, match="exactly once"):
        Table((Row("a", "w", t.part(0, 2)), Row("b", "w", t.part(0, 2))))
    with pytest.raises(ValueError, match="exactly once"):
        Table((Row("a", "w"), Row("b", "w")))
    with pytest.raises(ValueError, match="same source"):
        Table((Row("a", "w"), Row("a", "v")))


def test_writing_needs_a_place_for_every_weight():
    weights, _ = checkpoint()
    extra = weights.pop("b/x")
    with pytest.raises(CheckpointError, match=r"(?s)\+ block_0/scale.*- b/x"):
        write(TABLE, {**weights, "block_0/scale": extra})
