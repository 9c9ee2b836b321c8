"""Evaluations during training disturb nothing, and the best weights are kept."""

import json

import keras
import numpy as np
import pytest
from tiny_models import tiny_pairs
from trained_model import MOMENTUM, Batches, as_numpy, same, scores, trained, weights

from keras_clip.train.best_weights import BestWeights
from keras_clip.train.evaluation import Evaluate


@pytest.fixture(scope="module")
def averaging():
    return trained("averaging")


@pytest.fixture(scope="module")
def skipping():
    return trained("skipping")


def busy(model):
    """Everything that an evaluation may do to a model, and a number."""
    pairs = tiny_pairs(5)
    loss = model.evaluate(pairs, batch_size=5, verbose=0)
    logits = model.predict(pairs, verbose=0)["logits"]
    return {"loss": loss, "logit": logits[0, 0]}


# --- Evaluate


@pytest.mark.parametrize("averaged", [False, True])
def test_evaluating_changes_no_bit(averaging, averaged):
    plain = averaging.fit(epochs=2)
    expected = weights(averaging.model), [as_numpy(v) for v in averaging.optimizer.variables]
    evaluate = Evaluate(3, {"busy": busy}, averaged=averaged)
    history = averaging.fit(evaluate, epochs=2)
    assert history["loss"] == plain["loss"]
    assert same(weights(averaging.model), expected[0])
    assert same([as_numpy(v) for v in averaging.optimizer.variables], expected[1])
    assert [step for step, _ in evaluate.history] == [0, 3, 6, 8, 9, 12, 15, 16]
    assert history["busy/loss"] == [evaluate.history[k][1]["busy/loss"] for k in (3, 7)]


def test_the_weights_of_the_step_or_their_averages(averaging):
    raw, averaged = [], []

    def into(seen):
        def look(model):
            seen.append([as_numpy(v).copy() for v in model.trainable_variables])
            return {"x": 0.0}

        return {"look": look}

    averaging.fit(Evaluate(1, into(raw), averaged=False), Evaluate(1, into(averaged)))
    expected = raw[1]
    for step in range(2, len(raw)):
        pairs = zip(expected, raw[step], strict=True)
        expected = [MOMENTUM * old + (1 - MOMENTUM) * new for old, new in pairs]
    assert same(averaged[0], raw[0])  # before the first step there are no averages
    for found, value in zip(averaged[-1], expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)
    assert same([as_numpy(v) for v in averaging.model.trainable_variables], averaged[-1])


def test_keras_stops_and_saves_by_it(averaging, tmp_path):
    values = iter([0.5, 0.9, 0.7, 0.6, 1.0])
    evaluate = Evaluate(None, {"shown": lambda model: {"top1": next(values)}}, first=False)
    watch = {"monitor": "shown/top1", "mode": "max"}
    stop = keras.callbacks.EarlyStopping(patience=2, **watch)
    save = keras.callbacks.ModelCheckpoint(
        tmp_path / "x.weights.h5", save_best_only=True, save_weights_only=True, **watch
    )
    history = averaging.fit(evaluate, stop, save, epochs=5)
    assert history["shown/top1"] == [0.5, 0.9, 0.7, 0.6]
    assert (tmp_path / "x.weights.h5").exists() and save.best == 0.9


def test_averages_that_nobody_keeps(skipping):
    with pytest.raises(ValueError, match="use_ema"):
        skipping.fit(Evaluate(1, {"busy": busy}, averaged=True))
    with pytest.raises(ValueError, match="at least 1"):
        Evaluate(0, {})


# --- BestWeights


@pytest.mark.parametrize("where", ["memory", "directory"])
def test_fit_ends_with_the_best_weights(averaging, tmp_path, where):
    evaluate, seen = scores(0.1, 0.4, 0.8, 0.8, 0.7, 0.3, 0.2, 0.1, 0.1)
    best = BestWeights(directory=tmp_path / "best" if where == "directory" else None)
    averaging.fit(evaluate, best)
    assert (best.best, best.best_step) == (0.8, 2)
    assert same(weights(averaging.model), seen[2])
    assert not same(seen[2], seen[3])


def test_patience_ends_the_run(averaging):
    evaluate, seen = scores(0.3, 0.2, 0.1, 0.2, 0.9)
    best = BestWeights(mode="min", patience=1)
    averaging.fit(evaluate, best)
    assert (best.best, best.best_step, len(seen)) == (0.1, 2, 4)
    assert same(weights(averaging.model), seen[2])


def test_a_resumed_run_knows_the_best_so_far(skipping, tmp_path):
    evaluate, seen = scores(0.1, 0.2, 0.9, 0.3, float("nan"))
    skipping.fit(evaluate, BestWeights(directory=tmp_path), data=Batches(0, 4))
    evaluate, _ = scores(0.4, 0.5, 0.6, 0.5, 0.4)
    best = BestWeights(directory=tmp_path)
    skipping.fit(evaluate, best, start=4)
    assert (best.best, best.best_step) == (0.9, 2)
    assert same(weights(skipping.model), seen[2])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.json", "best.weights.h5"]
    with pytest.raises(ValueError, match="another run"):
        skipping.fit(BestWeights("other/metric", directory=tmp_path), start=4)
    description = json.loads((tmp_path / "best.json").read_text())
    (tmp_path / "best.json").write_text(json.dumps({**description, "parameters": 7}))
    with pytest.raises(ValueError, match="parameters is 7"):
        skipping.fit(BestWeights(directory=tmp_path), start=4)


def test_best_of_nothing(skipping):
    with pytest.raises(ValueError, match="Evaluate"):
        skipping.fit(BestWeights("zero_shot/top1"))
    with pytest.raises(ValueError, match="mode"):
        BestWeights(mode="auto")
