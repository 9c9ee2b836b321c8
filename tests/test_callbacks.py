"""Callbacks of training: evaluations that disturb nothing, best weights, NaN, progress and logs."""

import csv
import io
import json

import keras
import numpy as np
import pytest
from tiny_models import tiny_clip, tiny_pairs

from keras_clip.train.best_weights import BestWeights
from keras_clip.train.evaluation import Evaluate
from keras_clip.train.not_a_number import StopOnNaN, TrainingDivergedError
from keras_clip.train.optimizer import AdamW
from keras_clip.train.progress import Progress
from keras_clip.train.step_log import StepLog

PAIRS, MOMENTUM, RATE = 6, 0.7, 0.003


class Batches(keras.utils.PyDataset):
    """Eight given batches; those from `start` on, as a run that resumes takes them."""

    def __init__(self, start=0, stop=8, change=None):
        super().__init__()
        self.start, self.stop, self.change = start, stop, change

    def __len__(self):
        return self.stop - self.start

    def __getitem__(self, index):
        return (self.batch(self.start + index),)

    def batch(self, number):
        pairs = {k: v[PAIRS * number :][:PAIRS].copy() for k, v in tiny_pairs(8 * PAIRS).items()}
        if self.change:
            self.change(number, pairs)
        return pairs


def as_numpy(x):
    return keras.ops.convert_to_numpy(x)


def weights(model):
    return [as_numpy(weight).copy() for weight in model.weights]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


class Trained:
    """One compiled model for many runs, since on JAX a step takes seconds to compile."""

    def __init__(self, optimizer):
        self.model = tiny_clip(pooling="mean")
        self.model.compile(optimizer)
        self.optimizer = optimizer
        self.optimizer.build(self.model.trainable_variables)
        self.first = weights(self.model), [as_numpy(v).copy() for v in optimizer.variables]

    def fit(self, *callbacks, data=None, start=0, epochs=1, **options):
        """Train from the first weights; from step `start` as a run that resumes does."""
        if not start:
            self.model.set_weights(self.first[0])
            for variable, value in zip(self.optimizer.variables, self.first[1], strict=True):
                variable.assign(value)
        data = data or Batches(start)
        return self.model.fit(
            data, shuffle=False, verbose=0, epochs=epochs, callbacks=list(callbacks), **options
        ).history


@pytest.fixture(scope="module")
def averaging():
    return Trained(keras.optimizers.AdamW(RATE, use_ema=True, ema_momentum=MOMENTUM))


@pytest.fixture(scope="module")
def skipping():
    return Trained(AdamW(RATE))


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


def scores(*values):
    """An evaluation of each step, and what it saw."""
    values, seen = iter(values), []

    def measure(model):
        seen.append(weights(model))
        return {"top1": next(values)}

    return Evaluate(1, {"zero_shot": measure}), seen


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


# --- StopOnNaN


def spoil(number, pairs):
    if number == 5:
        pairs["images"][[2, 4], 0, 0, 1] = np.nan


@pytest.mark.parametrize("kind", ["averaging", "skipping"])
def test_a_pixel_that_is_no_number(kind, request):
    trained, data = request.getfixturevalue(kind), Batches(change=spoil)
    evaluate, seen = scores(*range(9))
    with pytest.raises(TrainingDivergedError, match=r"images has .* rows 2, 4 of") as caught:
        trained.fit(StopOnNaN(data.batch, every=2), evaluate, data=data)
    assert (caught.value.step, caught.value.layer) == (6, "images")
    # seen[k] are the weights after k steps, here the optimizer's averages where it keeps them
    kept = [as_numpy(v) for v in trained.model.weights]
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
    from keras_clip.train.diagnosis import first_not_finite

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


# --- Progress and StepLog


def lines(trained, *callbacks, **options):
    from rich.console import Console

    file = io.StringIO()
    console = Console(file=file, width=200, force_terminal=options.pop("terminal", False))
    trained.fit(*callbacks, Progress(PAIRS, seconds=0, console=console, **options))
    return file.getvalue()


def test_progress_as_lines(skipping):
    evaluate, _ = scores(*range(9))
    shown = lines(skipping, evaluate).splitlines()
    assert len(shown) == 8 and shown[0].startswith("step 1/8: loss ")
    assert shown[3].endswith(" zero_shot/top1 4")
    assert f" scale {skipping.model.scale:.1f} " in shown[7]
    assert "pairs/s" not in shown[3]  # every step of these was evaluated
    shown = lines(skipping, steps=100).splitlines()
    assert "pairs/s" in shown[-1] and " left" in shown[-1] and "step 8/100" in shown[-1]


def test_progress_on_a_terminal(skipping):
    shown = lines(skipping, terminal=True)
    assert "8/8" in shown and "loss" in shown
    assert shown.rstrip().endswith("\x1b[?25h")  # the cursor is back


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def events(directory):
    """{tag: {step: value}} of TensorBoard's files."""
    from tensorboardX.proto import event_pb2

    found = {}
    for path in sorted(directory.glob("events*")):
        data, place = path.read_bytes(), 0
        while place < len(data):
            size = int.from_bytes(data[place : place + 8], "little")
            event = event_pb2.Event.FromString(data[place + 12 : place + 12 + size])
            place += 12 + size + 4
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def test_a_log_goes_on_where_the_run_does(skipping, tmp_path):
    losses = []

    def note(step, logs):
        losses.append(logs["loss"] * (step + 1) - sum(losses))

    each = keras.callbacks.LambdaCallback(on_train_batch_end=note)
    evaluate, _ = scores(*range(9))
    skipping.fit(evaluate, each, StepLog(tmp_path, 2, PAIRS), data=Batches(0, 5))
    with open(tmp_path / "steps.csv", "a") as file:
        file.write("6,0.5,0.1\n")  # the end of a run that was killed
    skipping.optimizer.iterations.assign(4)  # it resumes from a checkpoint that is older
    evaluate, _ = scores(*range(14, 19))
    skipping.fit(evaluate, StepLog(tmp_path, 2, PAIRS), start=4)
    found = rows(tmp_path / "steps.csv")
    assert [int(row["step"]) for row in found] == [2, 4, 6, 8]
    for k in (0, 1):
        mean = (losses[2 * k] + losses[2 * k + 1]) / 2
        np.testing.assert_allclose(float(found[k]["loss"]), mean, rtol=1e-5)
        np.testing.assert_allclose(float(found[k]["learning_rate"]), RATE, rtol=1e-6)
    assert found[0]["pairs_per_second"] == ""  # each step was evaluated
    values = {int(row["step"]): float(row["value"]) for row in rows(tmp_path / "evaluations.csv")}
    assert values == {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 15, 6: 16, 7: 17, 8: 18}
    told = events(tmp_path)
    assert told["zero_shot/top1"] == pytest.approx(values)
    for row in found:
        assert told["train/loss"][int(row["step"])] == pytest.approx(float(row["loss"]))
    assert set(told) == {"train/loss", "train/learning_rate", "train/logit_scale", "zero_shot/top1"}


def test_pairs_per_second(skipping, tmp_path):
    skipping.fit(StepLog(tmp_path, 4, PAIRS, tensorboard=False))
    assert all(float(row["pairs_per_second"]) > 0 for row in rows(tmp_path / "steps.csv"))
    assert not list(tmp_path.glob("events*"))


def test_tensorboard_is_absent(skipping, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    with pytest.raises(ImportError, match="tensorboard=False"):
        skipping.fit(StepLog(tmp_path))
