"""A whole training run from a recipe: into a directory, resumed from it, ended with a preset."""

import json
import time
from pathlib import Path

from keras_clip.preprocessing.atomic_file import write_bytes
from keras_clip.train.checkpoint_processes import is_first
from keras_clip.train.checkpoint_restoring import restore
from keras_clip.train.recipe_fitting import CHECKPOINTS, Fitting
from keras_clip.train.recipe_parts import compile_clip
from keras_clip.train.recipe_preparing import RECIPE, prepare

RESULT, MODEL = "result.json", "model"


def run(recipe, directory, from_preset=None, load_prompts=None, progress=True):
    """Train a CLIP as a recipe says; a directory with a part of the run goes on from there.

    The directory gets `recipe.toml`, all entries resolved; `checkpoints/`; `logs/`, CSV and event
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
    clip, pairs, steps, measured = prepare(recipe, directory, from_preset, load_prompts)
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
        "pairs": len(pairs.pictures),
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
