"""Checkpoints: what is in them, exact resumption through fit, and other models."""

import keras
import numpy as np
import pytest
from checkpoint_models import (
    STEPS,
    Pairs,
    Rows,
    Seeded,
    StopAfter,
    adamw,
    as_numpy,
    assert_same,
    clip_model,
    fit,
    names,
    scramble,
    set_state,
    small_model,
    state,
)
from tiny_models import tiny_clip

from keras_clip.convert import CheckpointError, open_checkpoint
from keras_clip.train import Checkpoints, latest, restore


@pytest.fixture(scope="module")
def clip():
    """One model for all tests, since on JAX a training step takes seconds to compile."""
    return clip_model(adamw())


@pytest.fixture(scope="module")
def before(clip):
    return state(clip)


@pytest.fixture(scope="module")
def folder(clip, before, tmp_path_factory):
    """Checkpoints of steps 2, 4 and 5 of a run that was stopped after 5 of 8 batches."""
    directory = tmp_path_factory.mktemp("run") / "checkpoints"
    saving = Checkpoints(directory, every=2, extra=lambda: {"note": "five"})
    fit(clip, Pairs(), Seeded(), saving, StopAfter(5))
    return directory


def test_a_stopped_and_resumed_run_ends_as_an_uninterrupted_one(clip, before, folder, tmp_path):
    set_state(clip, before)
    fit(clip, Pairs(), Seeded())
    whole = state(clip)
    drawn = [as_numpy(v)[1] for v in clip.variables if "seed_generator" in v.path]
    # Two dropouts in each of two blocks, where the second one draws for depth as well.
    assert len(drawn) == 6 and sum(number >= STEPS for number in drawn) >= 2, drawn

    scramble(clip)
    step = restore(clip, folder)
    assert step == 5 == as_numpy(clip.optimizer.iterations)
    fit(clip, Pairs(start=step), Checkpoints(tmp_path))
    assert_same(state(clip), whole)


def test_another_place_or_random_state_would_have_been_seen(clip, folder):
    def rest(data, change=lambda: None):
        restore(clip, folder)
        change()
        fit(clip, data)
        return as_numpy(clip.trainable_variables[0])

    def draw():
        keras.utils.set_random_seed(5)
        for variable in clip.variables:
            if "seed_generator" in variable.path:
                variable.assign(as_numpy(variable) + 1)

    right = rest(Pairs(start=5))
    assert not np.array_equal(rest(Pairs(start=4, stop=7)), right)
    assert not np.array_equal(rest(Pairs(start=5), draw), right)


def test_files_of_a_checkpoint(clip, folder, backend):
    assert names(folder) == ["step_00000002", "step_00000004", "step_00000005"]
    last = folder / "step_00000005"
    assert names(last) == ["checkpoint.json", "state.safetensors"]
    described = latest(folder)
    assert described["step"] == described["iterations"] == 5
    assert described["extra"] == {"note": "five"} and described["backend"] == backend
    assert described["keras"] == keras.__version__ and described["optimizer"] == "AdamW"
    assert described["config"]["config"]["vision"]["dropout_rate"] == 0.2
    with open_checkpoint(last / "state.safetensors") as stored:
        assert set(stored) == set(described["variables"])
        own = [name for name in stored if not name.startswith("generators/")]
        assert len(own) == len(clip.variables) + len(clip.optimizer.variables)
        assert ("generators/cpu" in stored) == (backend == "torch")
        assert stored["optimizer/iteration"].read() == 5
        assert {"weights/vision/class_token/tokens", "weights/text/norm/gamma"} < set(stored)
        assert sum(name.startswith("seeds/") for name in stored) == 6


def test_no_checkpoint_is_step_0_and_changes_nothing(tmp_path):
    model = small_model()
    arrays = state(model)
    assert restore(model, tmp_path / "absent") == 0 == restore(model, tmp_path)
    assert_same(state(model), arrays)
    assert latest(tmp_path) is None and names(tmp_path) == []


def refused(model, folder):
    """What is said when a folder is restored into another model, which stays as it was."""
    arrays = state(model)
    with pytest.raises(CheckpointError, match="of another model; nothing was loaded") as error:
        restore(model, folder)
    assert_same(state(model), arrays)
    return str(error.value)


def test_a_checkpoint_of_another_clip_is_refused(folder):
    text = refused(clip_model(adamw(), pooling="mean"), folder)
    assert "config.config.vision.pooling is 'class_token' there, 'mean' here" in text
    assert "optimizer" not in text
    text = refused(small_model(), folder)
    assert "the model is CLIP there, Sequential here" in text and " more\n" in text
    with pytest.raises(ValueError, match=r"call model\.compile"):
        restore(tiny_clip(), folder)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"units": 2}, "weights/small/dense/kernel is float32 (4, 3) there, float32 (4, 2) here"),
        ({"activation": "relu"}, "is 'tanh' there, 'relu' here"),
        ({"dtype": "float16"}, "weights/small/dense/bias is float32 (3,) there, float16 (3,) here"),
        ({"optimizer": keras.optimizers.Lion(0.1)}, "the optimizer is AdamW there, Lion here"),
        ({"optimizer": adamw(use_ema=False)}, "_average is float32 (4, 3) there, absent here"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(tmp_path, other, said):
    fit(small_model(), Rows(stop=1), Checkpoints(tmp_path), epochs=1)
    assert said in refused(small_model(**other), tmp_path)


def test_batches_that_the_loss_scale_skips_are_counted(tmp_path):
    model = small_model(keras.optimizers.LossScaleOptimizer(adamw()))
    arrays = state(model)
    data = Rows()
    data.infinite = (1, 3)
    fit(model, data, Seeded())
    whole = state(model)

    set_state(model, arrays)
    fit(model, data, Seeded(), Checkpoints(tmp_path), StopAfter(5))
    scramble(model)
    assert restore(model, tmp_path) == 5 and as_numpy(model.optimizer.iterations) == 3
    assert as_numpy(model.optimizer.dynamic_scale) == 2.0**13
    fit(model, Rows(start=5), Checkpoints(tmp_path))
    assert_same(state(model), whole)
    assert latest(tmp_path)["step"] == STEPS and latest(tmp_path)["iterations"] == STEPS - 2


def test_batches_are_counted_with_accumulated_gradients_and_over_epochs(tmp_path):
    model = small_model(adamw(gradient_accumulation_steps=2))
    fit(model, Rows(stop=3), Checkpoints(tmp_path, every=2, keep=9), epochs=3)
    # Every second batch of all epochs, and the last one.
    assert [int(name[5:]) for name in names(tmp_path)] == [2, 4, 6, 8, 9]
    assert restore(small_model(adamw(gradient_accumulation_steps=2)), tmp_path) == 9


def test_batches_are_counted_where_a_step_executes_several(tmp_path):
    if keras.backend.backend() == "torch":
        pytest.skip("Keras on torch executes one batch a step")
    model = small_model(steps_per_execution=3)
    fit(model, Rows(stop=7), Checkpoints(tmp_path, every=4, keep=9))
    assert [int(name[5:]) for name in names(tmp_path)] == [6, 7]
    assert restore(model, tmp_path) == 7
