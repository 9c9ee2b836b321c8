"""A whole training run from a recipe: into a directory, resumed from it, ended with a preset."""

import json
import time
import tomllib
from pathlib import Path

import keras

from keras_clip.preprocessing.atomic_file import write_bytes
from keras_clip.train.checkpoint_processes import is_first
from keras_clip.train.checkpoint_restoring import restore
from keras_clip.train.hosts import initialize
from keras_clip.train.recipe import Recipe
from keras_clip.train.recipe_fitting import CHECKPOINTS, Fitting
from keras_clip.train.recipe_model import build_clip
from keras_clip.train.recipe_parts import (
    compile_clip,
    evaluations,
    make_pairs,
    num_steps,
    open_source,
)

RECIPE, RESULT, MODEL = "recipe.toml", "result.json", "model"


def run(recipe, directory, from_preset=None, load_prompts=None, progress=True):
    """Train a CLIP as a recipe says; a directory with a part of the run goes on from there.

    The directory gets `recipe.toml`, all entries resolved; `checkpoints/`; `log.csv` and event
    files for TensorBoard; `model/`, the trained model as a preset; and `result.json`.
    Ctrl+C or SIGTERM ends the run behind the step it is at, with a checkpoint.

    Args:
        recipe: Recipe.
        directory: path, created.
        from_preset: `keras_clip.from_preset`, for recipes that name presets.
        load_prompts: `keras_clip.load_prompts`, for recipes that name sets of prompts.
        progress: bool. Whether there is a progress bar on a terminal.

    Returns:
        Dictionary: `directory`, `steps`, `pairs`, `seconds`, `model`, `metrics`
        ({"name/metric": float}), `broken` (pictures that could not be read), `interrupted`, and
        `finished_before`: there was nothing left to do.

    Raises:
        ValueError: the directory holds another run, or the recipe asks for what cannot be done.
        TrainingDivergedError: the loss is not finite; message and directory have what is known.
    """
    directory, begun = Path(directory), time.perf_counter()
    hosts = initialize()  # before anything is computed
    if is_first():  # before it writes into it
        check_directory(recipe, directory)
    keras.utils.set_random_seed(recipe.run.seed)
    pictures = open_source(recipe.data)  # before minutes of loading
    measured = evaluations(recipe, load_prompts)
    clip = build_clip(recipe.model, from_preset)
    pairs = make_pairs(recipe, clip, pictures, hosts)
    steps = num_steps(recipe, pairs)
    before = _result_before(directory)
    if before and before["steps"] >= steps:
        return {**before, "finished_before": True}
    compile_clip(clip, recipe, steps, from_preset)
    start = restore(clip, directory / CHECKPOINTS)
    if start > steps:
        raise ValueError(f"{directory}: the run is at step {start}, which is behind {steps}.")
    if is_first():
        directory.mkdir(parents=True, exist_ok=True)
        write_bytes(directory / RECIPE, recipe.to_toml().encode())
    fitting = Fitting(recipe, directory, steps, measured, progress)
    fitting.fit(clip, pairs, start)
    result = {
        "directory": str(directory),
        "steps": fitting.step,
        "pairs": len(pictures),
        "seconds": time.perf_counter() - begun,
        "broken": pairs.num_broken,
        "interrupted": fitting.interrupted,
        "finished_before": False,
    }
    return result if fitting.interrupted else _finish(recipe, clip, fitting, result)


def _result_before(directory):
    """What a run that ended here has written, or None."""
    path = directory / RESULT
    return json.loads(path.read_text()) if path.is_file() else None


def _finish(recipe, clip, fitting, result):
    """Write the model and the result; returns the latter."""
    directory = fitting.directory
    result |= {"model": str(directory / MODEL), "metrics": fitting.metrics, "loss": fitting.loss}
    if not is_first():
        return result
    try:
        clip.save_to_preset(directory / MODEL, dtype=recipe.model.save_dtype)
        write_bytes(directory / RESULT, (json.dumps(result, indent=2) + "\n").encode())
    except OSError as error:
        raise OSError(
            f"{directory}: the trained model cannot be written ({error}). Its last checkpoint is "
            "whole: make room and start the same run again."
        ) from error
    return result


def check_directory(recipe, directory):
    """Raise a ValueError where a directory holds something else than a part of this run."""
    path = directory / RECIPE
    if not path.is_file():
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise ValueError(
                f"{directory} is not empty and holds no run (no {RECIPE}): give a new directory."
            )
        return
    before = Recipe.from_dict(tomllib.loads(path.read_text("utf-8")), str(path))
    found = recipe.differences(before)
    if found:
        raise ValueError(
            f"{directory} holds the run of another recipe: {'; '.join(found)}. Give another "
            "directory, or that recipe."
        )
