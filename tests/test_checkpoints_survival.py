"""Checkpoints survive damage, full disks and leftovers, and are written while training goes on."""

import contextlib  # noqa: I001, names in few lines
import resource
import shutil
import threading

import keras
import pytest
from checkpoint_models import (
    STEPS, Rows, StopAfter, as_numpy, assert_same, fit, names, scramble, small_model, state,
)  # fmt: skip

from keras_clip.convert import CheckpointError
from keras_clip.train import Checkpoints, checkpoint_formats, checkpoints, latest, restore

# What Orbax leaves behind on a full disk is told when Python collects it, in whichever test.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def model():
    return small_model()


def restart(model):
    """Have a model begin at step 0 again."""
    scramble(model)  # the end of a fit gave weights and averages one array on JAX
    model.optimizer.iterations.assign(0)
    model.optimizer._batches_skipped = 0


@pytest.fixture(params=["safetensors", "orbax"])
def writer(request, backend, monkeypatch):
    """Each of the two formats; Orbax needs no shards to write."""
    if request.param == "orbax":
        if backend != "jax":
            pytest.skip("Keras shards variables on JAX only")
        pytest.importorskip("orbax.checkpoint")
        monkeypatch.setattr(checkpoints, "is_sharded", lambda variables: True)
    return request.param


@pytest.fixture
def folder(model, writer, tmp_path):
    """Checkpoints of steps 2, 4 and 5."""
    restart(model)
    fit(model, Rows(), Checkpoints(tmp_path / "run", every=2), StopAfter(5))
    return tmp_path / "run"


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(model, folder, capsys):
    last, before = folder / "step_00000005", folder / "step_00000004"
    whole = shutil.copytree(last, folder.parent / "whole")
    files = [path.relative_to(last) for path in last.rglob("*") if path.is_file()]
    assert len(files) >= 2
    for file in files:
        for damage in (cut, flip, lambda path: path.unlink()):
            damage(last / file)
            assert restore(model, folder) == 4 == as_numpy(model.optimizer.iterations)
            said = capsys.readouterr().err
            assert "a damaged checkpoint is not used" in said and str(last) in said
            assert names(folder) == ["damaged_step_00000005", "step_00000002", "step_00000004"]
            assert latest(folder)["step"] == 4
            shutil.rmtree(folder / "damaged_step_00000005")
            shutil.copytree(whole, last)
    assert restore(model, folder) == 5 and capsys.readouterr().err == ""
    for path in (last, before, folder / "step_00000002"):
        flip(path / "checkpoint.json")
    arrays = state(model)
    with pytest.raises(CheckpointError, match="none of its checkpoints is whole"):
        restore(model, folder)
    assert_same(state(model), arrays)
    assert latest(folder) is None and len(names(folder)) == 3


def test_training_goes_on_from_the_one_before(model, folder):
    assert restore(model, folder) == 5
    fit(model, Rows(start=5), Checkpoints(folder))
    whole = state(model)
    shutil.rmtree(folder / "step_00000008")
    cut(folder / "step_00000005" / "checkpoint.json")
    scramble(model)
    assert restore(model, folder) == 4
    fit(model, Rows(start=4), Checkpoints(folder))
    assert_same(state(model), whole)


def test_both_formats_hold_the_same(model, folder):
    restore(model, folder)
    fit(model, Rows(start=5, stop=6))  # averages take the weights' place, and no step was saved
    arrays = state(model)
    saving = Checkpoints(folder)
    saving.set_model(model)
    saving.on_train_begin()
    saving.step = 7
    saving.save()
    saving.wait()
    scramble(model)
    assert restore(model, folder) == 7
    assert_same(state(model), arrays)


@contextlib.contextmanager
def small_files(size):
    """Let no file grow beyond some bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class FullDisk(keras.callbacks.Callback):
    """Has the disk full while the checkpoint of a step is written."""

    def __init__(self, saving, step):
        super().__init__()
        self.saving, self.step = saving, step

    def on_train_batch_end(self, batch, logs=None):
        if self.saving.step + 1 == self.step:
            with small_files(100):
                self.saving.on_train_batch_end(batch)
                self.saving.wait()
            assert self.saving.step == self.step


def test_on_a_full_disk_the_last_one_stays_and_a_later_one_is_written(model, folder, capsys):
    assert restore(model, folder) == 5
    saving = Checkpoints(folder, every=1, keep=2)
    fit(model, Rows(start=5, stop=7), FullDisk(saving, 6), saving)
    said = capsys.readouterr().err
    assert said.count("cannot be written") == 1
    assert f"{folder}: the checkpoint of step 6 cannot be written (" in said
    assert "the earlier ones are as they were, training goes on" in said
    assert names(folder) == ["step_00000005", "step_00000007"]
    assert isinstance(saving.error, OSError) and restore(model, folder) == 7


def test_a_full_disk_ends_training_where_asked(model, folder):
    assert restore(model, folder) == 5
    saving = Checkpoints(folder, every=1, stop_on_error=True)
    with pytest.raises(CheckpointError, match="step 6 cannot be written"):
        fit(model, Rows(start=5), FullDisk(saving, 6), saving)
    assert names(folder) == ["step_00000002", "step_00000004", "step_00000005"]
    assert restore(model, folder) == 5


def test_it_is_written_while_training_goes_on(model, tmp_path, monkeypatch):
    release, begun, order = threading.Event(), threading.Event(), []
    finish = checkpoint_formats.SafetensorsWriter.finish

    def slow(self):
        begun.set()
        assert release.wait(60)
        order.append("written")
        finish(self)

    monkeypatch.setattr(checkpoint_formats.SafetensorsWriter, "finish", slow)
    seen = {}

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            order.append(batch + 1)
            seen[batch + 1] = state(self.model)
            if batch + 1 == 3:
                assert begun.wait(60)
                assert names(tmp_path) == [".step_00000002.partial"]
                release.set()

    fit(small_model(), Rows(stop=5), Checkpoints(tmp_path, every=2, keep=9), Watch())
    # The second one waits for the first, and the last one for the second.
    assert order.index("written") > order.index(3)
    assert order.index("written") < order.index(4) and order.count("written") == 3
    second = tmp_path / "second"
    shutil.copytree(tmp_path / "step_00000002", second / "step_00000002")
    assert restore(model, second) == 2
    assert_same(state(model), seen[2])


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"keep": 1}, [8]),
        ({"keep": 2, "keep_every": 3}, [3, 6, 7, 8]),
        ({"every": 3, "asynchronous": False}, [3, 6, 8]),
        ({"every": 100}, [8]),
    ],
)
def test_which_checkpoints_stay(model, tmp_path, options, left):
    restart(model)
    fit(model, Rows(), Checkpoints(tmp_path, **{"every": 1, **options}))
    assert [int(name[5:]) for name in names(tmp_path)] == left


def test_leftovers_of_killed_runs_are_removed(model, tmp_path):
    restart(model)
    for name in (".step_00000009.partial", ".step_00000001.deleted", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("")
    fit(model, Rows(), Checkpoints(tmp_path))
    assert names(tmp_path) == ["mine", "step_00000008"]


def test_a_folder_that_holds_later_steps_is_not_trained_into(model, tmp_path):
    restart(model)
    fit(model, Rows(), Checkpoints(tmp_path))
    restart(model)
    with pytest.raises(CheckpointError, match=r"step 8, but the model is at step 0; call restore"):
        fit(model, Rows(), Checkpoints(tmp_path))
    assert restore(model, tmp_path) == STEPS
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(CheckpointError, match="is a file"):
        restore(model, file)


@pytest.mark.parametrize("options", [{"every": 0}, {"keep": 0}, {"keep_every": -1}])
def test_numbers_below_1_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match="must be at least 1"):
        Checkpoints(tmp_path, **options)


def test_a_later_format_is_refused_and_stays(model, tmp_path, monkeypatch):
    restart(model)
    with monkeypatch.context() as later:
        later.setattr("keras_clip.train.checkpoint_files.FORMAT", 2)
        fit(model, Rows(stop=1), Checkpoints(tmp_path))
    with pytest.raises(CheckpointError, match="has format 2, this keras-clip reads 1"):
        restore(model, tmp_path)
    assert names(tmp_path) == ["step_00000001"]
