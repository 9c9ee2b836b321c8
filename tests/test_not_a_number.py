"""A run whose loss is not finite ends, names the place, and keeps its weights."""

import keras
import numpy as np
import pytest
from trained_model import Batches, as_numpy, same, scores, trained, weights

from keras_clip.train.diagnosis import first_not_finite
from keras_clip.train.not_a_number import StopOnNaN, TrainingDivergedError


@pytest.fixture(scope="module")
def averaging():
    return trained("averaging")


@pytest.fixture(scope="module")
def skipping():
    return trained("skipping")


def spoil(number, pairs):
    if number == 5:
        pairs["images"][[2, 4], 0, 0, 1] = np.nan


@pytest.mark.parametrize("kind", ["averaging", "skipping"])
def test_a_pixel_that_is_no_number(kind):
    run, data = trained(kind), Batches(change=spoil)
    evaluate, seen = scores(*range(9))
    with pytest.raises(TrainingDivergedError, match=r"images has .* rows 2, 4 of") as caught:
        run.fit(StopOnNaN(data.batch, every=2), evaluate, data=data)
    assert (caught.value.step, caught.value.layer) == (6, "images")
    # seen[k] are the weights after k steps, here the optimizer's averages where it keeps them
    kept = [as_numpy(v) for v in run.model.weights]
    assert all(np.isfinite(value).all() for value in kept)
    if kind == "skipping":
        assert same(kept, seen[5])
        assert "those before that step" in str(caught.value)
    else:
        assert "those of step 4" in str(caught.value)


def test_a_layer_that_overflows(skipping):
    def grow(step, logs=None):
        if step == 3:
            skipping.model.jax_state_sync() if keras.backend.backend() == "jax" else None
            block = skipping.model.get_layer("text").get_layer("block_0")
            block.weights[0].assign(np.full(block.weights[0].shape, 3e38, "float32"))

    data = Batches()
    grower = keras.callbacks.LambdaCallback(on_train_batch_begin=grow)
    with pytest.raises(TrainingDivergedError, match="output of text/block_0 is not") as caught:
        skipping.fit(grower, StopOnNaN([data.batch(k) for k in range(8)]), data=data)
    assert (caught.value.step, caught.value.layer) == (4, "text/block_0")


def test_weights_that_grow_beyond_bounds(averaging):
    def grow(logs):
        averaging.optimizer.learning_rate = 3e38

    data, fast = Batches(), keras.callbacks.LambdaCallback(on_train_begin=grow)
    with pytest.raises(TrainingDivergedError, match="lower the learning rate") as caught:
        averaging.fit(fast, StopOnNaN(data.batch), data=data)
    assert same(weights(averaging.model), averaging.first[0])
    assert caught.value.step > 1 and "step 0, the last copy" in str(caught.value)
    with pytest.raises(TrainingDivergedError, match="Give batches="):
        averaging.fit(fast, StopOnNaN())


def test_an_id_that_no_token_has(skipping):
    pairs = Batches().batch(0)
    pairs["token_ids"][3, 1] = 603
    found = first_not_finite(skipping.model, pairs)
    assert found.place == "token_ids" and "0 to 602, in row 3 of" in found.text


def test_steps_that_are_all_left_out(skipping):
    data = Batches(change=lambda number, pairs: number > 1 and pairs["images"].fill(np.nan))
    callback = StopOnNaN(every=4)
    callback.on_step = lambda logs: StopOnNaN.on_step(callback, {**logs, "loss": 1.0})
    with pytest.raises(TrainingDivergedError, match="4 of the 4 steps to step 8"):
        skipping.fit(callback, data=data)
