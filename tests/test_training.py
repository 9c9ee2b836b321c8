"""Contrastive training: the loss by hand, over-fitting, the scale's limit, and bad batches."""

import math

import keras
import numpy as np
import pytest
from tiny_models import tiny_clip, tiny_images, tiny_pairs, tiny_token_ids

SMALL = "at least 2"
PAIRS = 8


class Pairs(keras.utils.PyDataset):
    """Batches of given sizes."""

    def __init__(self, sizes, keys=("images", "token_ids")):
        super().__init__()
        self.sizes, self.keys = sizes, keys

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        pairs = tiny_pairs(self.sizes[index])
        return ({key: pairs[key] for key in self.keys},)


def as_numpy(x):
    return keras.ops.convert_to_numpy(x)


def by_hand(logits):
    """Mean cross entropy of the diagonal, by rows and by columns."""
    logits = logits.astype("float64")
    rows = np.log(np.exp(logits).sum(axis=1)) - np.diag(logits)
    columns = np.log(np.exp(logits).sum(axis=0)) - np.diag(logits)
    return (rows.mean() + columns.mean()) / 2


@pytest.fixture(scope="module")
def shared():
    """One model for all tests, since on JAX a training step takes seconds to compile."""
    model = tiny_clip(pooling="mean")
    model.compile(keras.optimizers.Adam(0.003))
    model.fit(tiny_pairs(PAIRS), batch_size=PAIRS, verbose=0)
    return model, model.get_weights()


@pytest.fixture
def model(shared):
    """The shared model as it was made, with a fresh optimiser."""
    model, weights = shared
    model.set_weights(weights)
    for variable in model.optimizer.variables:
        variable.assign(np.zeros(variable.shape))
    model.optimizer.learning_rate = 0.003
    return model


def usable(model):
    """The model still has finite weights, and still trains."""
    assert all(np.isfinite(as_numpy(weight)).all() for weight in model.weights)
    loss = model.fit(tiny_pairs(PAIRS), batch_size=PAIRS, verbose=0).history["loss"][0]
    return np.isfinite(loss) and loss > 0


def test_loss_is_that_of_the_paper(model):
    pairs = tiny_pairs(PAIRS)
    expected = by_hand(model.predict(pairs, verbose=0)["logits"])
    evaluated = model.evaluate(pairs, batch_size=PAIRS, verbose=0)
    np.testing.assert_allclose(evaluated, expected, rtol=1e-5)
    history = model.fit(pairs, batch_size=PAIRS, verbose=0).history
    np.testing.assert_allclose(history["loss"][0], expected, rtol=1e-5)


def test_overfits_eight_pairs(model):
    pairs = tiny_pairs(8)
    before = [as_numpy(weight) for weight in model.trainable_variables]
    loss = model.fit(pairs, batch_size=8, epochs=50, verbose=0).history["loss"]
    assert loss[-1] < 0.3 * loss[0]
    for old, weight in zip(before, model.trainable_variables, strict=True):
        assert (as_numpy(weight) != old).any(), weight.path


def test_scale_stays_below_a_hundred(model):
    model.optimizer.learning_rate = 1e-6
    log_scale = model.get_layer("logit_scale").log_scale
    for start, end in ((10.0, math.log(100)), (-1.0, 0.0)):
        log_scale.assign(start)
        model.fit(tiny_pairs(PAIRS), batch_size=PAIRS, verbose=0)
        np.testing.assert_allclose(as_numpy(log_scale), end, rtol=1e-6)
    assert model.scale == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(dtype):
    model = tiny_clip(dtype)
    model.compile(keras.optimizers.Adam(0.003))
    expected = by_hand(model.predict(tiny_pairs(PAIRS), verbose=0)["logits"])
    loss = model.fit(tiny_pairs(PAIRS), batch_size=PAIRS, epochs=3, verbose=0).history["loss"]
    np.testing.assert_allclose(loss[0], expected, rtol=0.05)
    assert np.isfinite(loss).all() and min(loss) > 0
    assert all(np.isfinite(as_numpy(weight)).all() for weight in model.weights)


def test_a_dataset_trains(model):
    loss = model.fit(Pairs([PAIRS, PAIRS]), epochs=2, verbose=0).history["loss"]
    assert np.isfinite(loss).all() and min(loss) > 0
    assert model.evaluate(Pairs([PAIRS, PAIRS]), verbose=0) > 0


def test_validation_data(model):
    history = model.fit(
        tiny_pairs(PAIRS),
        batch_size=PAIRS,
        validation_data=(tiny_pairs(PAIRS), None),
        verbose=0,
    ).history
    expected = by_hand(model.predict(tiny_pairs(PAIRS), verbose=0)["logits"])
    np.testing.assert_allclose(history["val_loss"][0], expected, rtol=1e-4)


# --- bad batches


@pytest.mark.parametrize("count, batch_size", [(1, 8), (4, 1), (9, 8), (33, None)])
def test_arrays_that_leave_a_batch_of_one(model, count, batch_size):
    with pytest.raises(ValueError, match=SMALL):
        model.fit(tiny_pairs(count), batch_size=batch_size, verbose=0)
    assert usable(model)


@pytest.mark.parametrize("sizes", [[1], [PAIRS, 1]], ids=str)
def test_dataset_with_a_batch_of_one(model, sizes):
    with pytest.raises(ValueError, match=SMALL):
        model.fit(Pairs(sizes), shuffle=False, verbose=0)
    assert usable(model)


def test_tensorflow_dataset_with_a_batch_of_one(model, backend):
    if backend != "tensorflow":
        pytest.skip("about tf.data on its own backend")
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(tiny_pairs(9))
    with pytest.raises(ValueError, match=SMALL):
        model.fit(data.batch(8), shuffle=False, verbose=0)
    assert usable(model)
    data = data.batch(8, drop_remainder=True)
    loss = model.fit(data, shuffle=False, verbose=0).history["loss"]
    assert np.isfinite(loss).all() and loss[0] > 0


def test_evaluating_a_batch_of_one(model):
    with pytest.raises(ValueError, match=SMALL):
        model.evaluate(Pairs([1]), verbose=0)
    with pytest.raises(ValueError, match=SMALL):
        model.evaluate(tiny_pairs(9), batch_size=8, verbose=0)
    assert usable(model)


def test_train_on_a_batch_of_one(model):
    with pytest.raises(ValueError, match=SMALL):
        model.train_on_batch(tiny_pairs(1))
    assert usable(model)


def test_no_data(model):
    with pytest.raises(ValueError, match="needs data"):
        model.fit()
    assert usable(model)


@pytest.mark.parametrize("key", ["images", "token_ids"])
def test_an_input_is_missing(model, key):
    with pytest.raises(ValueError, match=key):
        model.fit({k: v for k, v in tiny_pairs(4).items() if k != key}, verbose=0)
    other = "token_ids" if key == "images" else "images"
    with pytest.raises(ValueError, match=f"has no .*{key}"):
        model.fit(Pairs([4], keys=(other,)), verbose=0)
    assert usable(model)


def test_images_alone(model):
    with pytest.raises(ValueError, match=r"has no .*token_ids.*, but ndarray"):
        model.fit(tiny_images(4), verbose=0)
    assert usable(model)


def test_unequal_numbers(model):
    with pytest.raises(ValueError, match="4 images but 3 texts"):
        model.fit({"images": tiny_images(4), "token_ids": tiny_token_ids(3)}, verbose=0)
    assert usable(model)


def one_changed(name, place, value):
    pairs = tiny_pairs(4)
    pairs[name][place] = value
    return pairs


@pytest.mark.parametrize(
    "pairs, message",
    [
        (one_changed("images", (2, 1, 1, 0), np.nan), "images: row 2 holds NaN"),
        (one_changed("images", (3, 0, 0, 0), -np.inf), "images: row 3 holds NaN or an infinity"),
        (one_changed("token_ids", (1, 5), 603), "row 1 holds the id 603.* 0 to 602"),
        (one_changed("token_ids", (3, 0), -1), "row 3 holds the id -1"),
        ({**tiny_pairs(4), "token_ids": tiny_token_ids(4)[:, 0]}, "token_ids of shape"),
        ({**tiny_pairs(4), "token_ids": np.ones((4, 2, 2, 2), "int32")}, "token_ids of shape"),
        ({**tiny_pairs(4), "token_ids": np.ones((4, 5))}, "are integers.*float64"),
        ({**tiny_pairs(4), "token_ids": np.ones((4, 17), "int32")}, "takes 16 at most"),
        ({**tiny_pairs(4), "token_ids": np.ones((4, 5), "int32")}, "4 captions are the"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arrays_that_teach_nothing(model, pairs, message):
    for run in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=message):
            run(pairs, verbose=0)


@pytest.mark.parametrize(
    "y, message",
    [
        (np.arange(3), "y is one integer"),
        (np.arange(8).reshape(4, 2), "y is one integer"),
        (np.arange(4.0), "y is one integer.*float64"),
        (np.ones(4, "int32"), "All pairs have the same y"),
    ],
)
def test_groups_that_are_none(model, y, message):
    with pytest.raises(ValueError, match=message):
        model.fit(tiny_pairs(4), y, verbose=0)


def test_weights_of_samples_are_refused(model):
    with pytest.raises(ValueError, match="knows no sample_weight"):
        model.fit(tiny_pairs(PAIRS), sample_weight=np.ones(PAIRS), verbose=0)
    with pytest.raises(ValueError, match="knows no class_weight"):
        model.fit(tiny_pairs(PAIRS), class_weight={0: 1.0}, verbose=0)


def test_not_compiled():
    with pytest.raises(ValueError, match="compile"):
        tiny_clip().fit(tiny_pairs(4), verbose=0)
