"""Rows that share a tensor of a file: read piece by piece, written as one, used exactly once."""

import numpy as np
import pytest

from keras_clip.convert import CheckpointError, open_checkpoint, write_npz
from keras_clip.convert import transforms as t
from keras_clip.convert.table import Row, Table, read, write
from keras_clip.convert.tensors import LazyTensor

FUSED = (
    Row("in_proj", "query", t.share(0, 1, 3, t.LINEAR)),
    Row("in_proj", "key_value", t.share(1, 3, 3, t.LINEAR)),
)
STACK = tuple(Row("blocks", f"block_{i}", t.stacked(i, 3, t.split_heads(2))) for i in range(3))
TABLE = Table((*FUSED, *STACK))
SHAPES = {"query": (5, 4), "key_value": (5, 8), **{f"block_{i}": (6, 4) for i in range(3)}}


class Variable:
    """Stands for a backend's variable."""

    def __init__(self, shape):
        self.shape, self.dtype, self.value = shape, "float32", None

    def assign(self, value):
        self.value = np.array(value)


def weights():
    random = np.random.default_rng(0)
    return {n: random.standard_normal(shape).astype("float32") for n, shape in SHAPES.items()}


def variables():
    return {name: Variable(shape) for name, shape in SHAPES.items()}


def tensors():
    return {name: make() for name, make in write(TABLE, weights()).items()}


def test_what_is_written_is_what_the_weights_hold():
    found, given = tensors(), weights()
    fused = np.concatenate([given["query"].T, given["key_value"].T])
    np.testing.assert_array_equal(found["in_proj"], fused)
    stack = np.stack([given[f"block_{i}"].reshape(6, 2, 2) for i in range(3)])
    np.testing.assert_array_equal(found["blocks"], stack)


def test_the_order_of_the_rows_does_not_matter():
    table = Table(tuple(reversed(TABLE.rows)))
    for name, make in write(table, weights()).items():
        np.testing.assert_array_equal(make(), tensors()[name])


@pytest.mark.parametrize("order", ["C", "F"])
def test_no_more_than_the_share_is_read(order, tmp_path, monkeypatch):
    stored = {name: np.asarray(value, order=order) for name, value in tensors().items()}
    if order == "C":
        write_npz(tmp_path / "shares.npz", stored)
    else:
        np.savez(tmp_path / "shares.npz", **stored)
    asked, whole, original = [], [], LazyTensor.read

    def spy(self, rows=None):
        values = original(self, rows)
        (whole if rows is None else asked).append(values.shape)
        return values

    monkeypatch.setattr(LazyTensor, "read", spy)
    filled = variables()
    with open_checkpoint(tmp_path / "shares.npz") as checkpoint:
        read(TABLE, checkpoint, filled)
    for name, value in weights().items():
        np.testing.assert_array_equal(filled[name].value, value)
    assert not whole and sorted(asked) == [*[(1, 6, 2, 2)] * 3, (4, 5), (8, 5)]


def test_a_transform_with_axes_of_its_own_is_stacked():
    weight, out = np.arange(15.0).reshape(3, 5), np.empty((3, 5))
    transform = t.stacked(1, 4, t.LINEAR)
    assert transform.file_shape(weight.shape) == (4, 5, 3)
    assert transform.file_rows((4, 5, 3)) == (1, 2)
    np.testing.assert_array_equal(transform.write(weight), weight.T[None])
    transform.read(weight.T[None], out)
    np.testing.assert_array_equal(out, weight)


def test_one_error_tells_each_thing_once():
    found = tensors()
    found["blocks"] = found["blocks"][:2]
    del found["in_proj"]
    with pytest.raises(CheckpointError, match="2 wrong") as caught:
        read(TABLE, found, variables())
    assert "! blocks: file (2, 6, 2, 2), model (3, 6, 2, 2)" in str(caught.value)
    assert "- in_proj: not in the file, but the model needs it, (12, 5)" in str(caught.value)
    found = tensors()
    found["blocks"] = np.full_like(found["blocks"], np.nan)
    with pytest.raises(CheckpointError, match=r"1 wrong.*\n.*blocks: holds NaN"):
        read(TABLE, found, variables())


@pytest.mark.parametrize(
    "shares", [[(0, 1, 3)], [(0, 1, 2), (0, 1, 2)], [(0, 1, 2), (1, 3, 3)], [(0, 2, 3), (1, 3, 3)]]
)
def test_a_source_is_used_exactly_once(shares):
    with pytest.raises(ValueError, match="same source w do not use it once"):
        Table(tuple(Row("w", f"v{k}", t.share(*share)) for k, share in enumerate(shares)))
