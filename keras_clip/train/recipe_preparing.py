"""What a run and a dry run begin with: the directory looked at, model and data made."""

import random
import tomllib

import keras
import numpy as np

from keras_clip.train.checkpoint_processes import is_first
from keras_clip.train.hosts import initialize
from keras_clip.train.recipe import Recipe
from keras_clip.train.recipe_model import build_clip
from keras_clip.train.recipe_parts import evaluations, make_pairs, num_steps, open_source

RECIPE = "recipe.toml"


def prepare(recipe, directory, from_preset, load_prompts):
    """Make what a recipe trains, and what it trains on.

    Args: as of `keras_clip.train.run`.

    Returns:
        (CLIP, not compiled; Pairs; int, steps of the whole run; {name: function}, evaluations).

    Raises:
        ValueError: the directory holds another run, or the recipe asks for what cannot be done.
    """
    hosts = initialize()  # before anything is computed
    if is_first():  # before it writes into it
        _check_directory(recipe, directory)
    set_seed(recipe.run.seed)
    pictures = open_source(recipe.data)  # before minutes of loading
    measured = evaluations(recipe, load_prompts)
    clip = build_clip(recipe.model, from_preset)
    pairs = make_pairs(recipe, clip, pictures, hosts)
    return clip, pairs, num_steps(recipe, pairs), measured


def set_seed(seed):
    """Have the same weights and random numbers for a seed.

    Keras's own `set_random_seed` imports TensorFlow wherever it is installed.
    """
    if keras.backend.backend() == "tensorflow":
        keras.utils.set_random_seed(seed)
        return
    random.seed(seed)  # of which Keras makes all its seeds
    np.random.seed(seed)
    if keras.backend.backend() == "torch":
        import torch

        torch.manual_seed(seed)


def _check_directory(recipe, directory):
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
