"""`keras-clip train`: a run, its directory, how it goes on, and what it refuses."""

import csv
import json
import shutil
import signal
import tomllib

import numpy as np
import pytest
from pair_folder import COUNT, write_pairs
from safetensors.numpy import load_file
from tiny_models import VOCABULARY

from keras_clip import from_preset
from keras_clip.cli import main
from keras_clip.command.train import show_trained
from keras_clip.models.clip import CLIP
from keras_clip.train import Recipe, latest, recipe_fitting

pytest_plugins = ["command_line"]
STEPS = 6
BEST = "run.best=retrieval/text_to_image@5"
STATE = f"checkpoints/step_{STEPS:08}/state.safetensors"
RECIPE = f"""
[model]
tokenizer = "{VOCABULARY}"

[model.vision]
hidden_dim = 8
num_layers = 1
num_heads = 2
mlp_dim = 12
patch_size = 4
image_size = [8, 12]
projection_dim = 6
dropout_rate = 0.1

[model.text]
hidden_dim = 8
num_layers = 1
num_heads = 2
mlp_dim = 12
context_length = 16
projection_dim = 6

[data]
source = "pairs"
batch_size = 8

[data.augmentation]
scale = [0.5, 1]

[optimizer]
learning_rate = 1e-2
ema_momentum = 0.9

[run]
steps = {STEPS}
log_every = 2
checkpoint_every = 2
keep = 2
evaluate_every = 4

[[evaluate]]
kind = "retrieval"
source = "pairs"
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "pairs").mkdir()
    write_pairs(folder / "pairs")
    (folder / "recipe.toml").write_text(RECIPE)
    return folder / "recipe.toml"


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory):
    """The directory of a whole run."""
    directory = tmp_path_factory.mktemp("runs") / "whole"
    assert main(["train", str(recipe), "-o", str(directory), "--set", BEST]) == 0
    return directory


def assert_same_tensors(left, right):
    left, right = (load_file(path) for path in (left, right))
    assert sorted(left) == sorted(right) and left
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_model_logs_checkpoints_and_result(trained, recipe):
    result = json.loads((trained / "result.json").read_text())
    assert result["steps"] == STEPS and result["pairs"] == COUNT
    assert np.isfinite(result["loss"]) and not result["interrupted"]
    assert [row["step"] for row in rows(trained / "logs" / "steps.csv")] == ["2", "4", "6"]
    measured = rows(trained / "logs" / "evaluations.csv")
    assert {row["step"] for row in measured} == {"0", "4", "6"}
    assert list((trained / "logs").glob("events.*"))
    best = max(
        float(row["value"]) for row in measured if row["metric"] == "retrieval/text_to_image@5"
    )
    assert result["metrics"]["retrieval/text_to_image@5"] == best
    assert latest(trained / "checkpoints")["step"] == STEPS
    assert len(list((trained / "checkpoints").iterdir())) == 2
    written = Recipe.from_dict(tomllib.loads((trained / "recipe.toml").read_text()))
    assert written == Recipe.from_toml(recipe, [BEST])
    vectors = from_preset(trained / "model").embed_texts(["number 3", "a photo"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_a_finished_run_has_nothing_to_do(run, trained, recipe, monkeypatch):
    monkeypatch.setattr(CLIP, "fit", None)
    code, out, _ = run("train", recipe, "-o", trained)
    assert code == 0 and "finished before" in out
    code, out, _ = run("train", recipe, "-o", trained, "--json")
    assert json.loads(out)["finished_before"] is True


@pytest.mark.slow  # two more fits to compile
def test_ctrl_c_saves_and_the_same_command_ends_as_if_it_had_not_been(
    run, trained, recipe, tmp_path, monkeypatch
):
    whole, quick = recipe_fitting.Watch.on_step, ("--set", "evaluate=[]")

    def interrupt(self, logs):
        if self.step == 3:
            signal.raise_signal(signal.SIGINT)
        whole(self, logs)

    monkeypatch.setattr(recipe_fitting.Watch, "on_step", interrupt)
    code, _, err = run("train", recipe, "-o", tmp_path / "run", *quick)
    assert code == 130 and "the same command goes on" in err
    assert latest(tmp_path / "run" / "checkpoints")["step"] == 3
    assert not (tmp_path / "run" / "model").exists()
    monkeypatch.undo()
    code, out, _ = run("train", recipe, "-o", tmp_path / "run", *quick, "--json")
    assert code == 0 and json.loads(out)["steps"] == STEPS
    # Weights, optimizer and averages; that run had evaluations on the way, too.
    assert_same_tensors(tmp_path / "run" / STATE, trained / STATE)


def test_what_was_killed_before_the_model_was_written_is_finished(
    run, trained, recipe, tmp_path, monkeypatch
):
    directory = tmp_path / "run"
    shutil.copytree(trained, directory)
    shutil.rmtree(directory / "model")
    (directory / "result.json").unlink()
    monkeypatch.setattr(CLIP, "fit", None)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(CLIP, "save_to_preset", full)
        code, _, err = run("train", recipe, "-o", directory, "--set", BEST)
        assert code == 1 and len(err.splitlines()) == 1
        assert "No space left" in err and "checkpoint is whole" in err
    assert run("train", recipe, "-o", directory, "--set", BEST)[0] == 0
    assert_same_tensors(directory / "model/model.safetensors", trained / "model/model.safetensors")


def test_a_dry_run_takes_two_steps_and_writes_nothing(run, recipe, trained, tmp_path, capsys):
    before = sorted(trained.rglob("*"))
    code, out, _ = run("train", recipe, "-o", trained, "--dry-run", "--json", "--steps", 9)
    said = json.loads(out)
    assert code == 0 and sorted(trained.rglob("*")) == before
    assert said["steps"] == 9 and said["pairs"] == COUNT and said["start"] == STEPS
    longest, computed = said["tokens"]
    assert 5 < longest < computed == 16
    assert len(said["losses"]) == 2 and np.isfinite(said["losses"]).all()
    assert said["plan"]["parameters"] == said["trained_parameters"] > 0
    assert said["seconds"] == pytest.approx(3 * said["step"])
    assert tomllib.loads(said["recipe"])["run"]["steps"] == 9
    show_trained(said)
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("[model.vision]", "parameters", "nothing was written"))
    assert "would go on from step" in shown and "in the first batch, of 16" in shown


REFUSED = {
    "optimizer.learning_rat=1": "there is no 'learning_rat'; did you mean 'learning_rate'?",
    "data.batch_size=1": "batch_size is at least 2",
    "data.batch_size=64": "number of pictures, 23, not 64",
    "data.context_length=17": "context_length is a whole number from 2 to the model's 16, not 17",
    "data.source=absent.csv": "absent.csv: there is no such",
    "model.tokenizer=absent.txt.gz": "absent.txt.gz",
    "model.text.projection_dim=8": "project to different widths",
    "model.start=clip_of_nobody": "clip_of_nobody",
    "loss.label_smoothing=1": "label_smoothing is at least 0 and below 1",
    "optimizer.warmup_steps=7": "warmup_steps is at least 0 and below steps=6",
}


@pytest.mark.parametrize("override", REFUSED)
def test_what_cannot_be_trained_is_one_line(run, recipe, tmp_path, override):
    code, out, err = run("train", recipe, "-o", tmp_path / "run", "--set", override)
    assert (code, out) == (1, "") and REFUSED[override] in err
    assert len(err.splitlines()) == 1 and not (tmp_path / "run").exists()


def test_directories_of_others_are_refused(run, recipe, trained, tmp_path):
    other = ("--set", "optimizer.learning_rate=0.1", "--set", "run.seed=3", "--steps", 8)
    code, _, err = run("train", recipe, "-o", trained, *other)
    assert code == 1 and "run.seed: 3, 0 in the other" in err
    assert "optimizer.learning_rate: 0.1, 0.01 in the other" in err and "steps" not in err
    (tmp_path / "photo.png").write_bytes(b"")
    code, _, err = run("train", recipe, "-o", tmp_path)
    assert code == 1 and "is not empty and holds no run" in err


def test_what_is_no_recipe_is_one_line(run, tmp_path):
    (tmp_path / "recipe.toml").write_text("steps: 3\n")
    code, _, err = run("train", tmp_path / "recipe.toml", "-o", tmp_path / "run")
    assert code == 1 and "recipe.toml: not a TOML file" in err and len(err.splitlines()) == 1
    code, _, err = run("train", tmp_path / "absent.toml", "-o", tmp_path / "run")
    assert code == 1 and "absent.toml" in err


def test_help_has_examples(run):
    code, out, _ = run("train", "--help")
    assert code == 0 and "keras-clip train" in out.partition("examples:")[2]
