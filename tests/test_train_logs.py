"""What a run shows and writes: progress, CSV files, TensorBoard's events."""

import csv
import io

import keras
import numpy as np
import pytest
from trained_model import PAIRS, RATE, Batches, scores, trained

from keras_clip.train.progress import Progress
from keras_clip.train.step_log import StepLog


@pytest.fixture(scope="module")
def skipping():
    return trained("skipping")


def lines(run, *callbacks, **options):
    from rich.console import Console

    file = io.StringIO()
    console = Console(file=file, width=200, force_terminal=options.pop("terminal", False))
    run.fit(*callbacks, Progress(PAIRS, seconds=0, console=console, **options))
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
