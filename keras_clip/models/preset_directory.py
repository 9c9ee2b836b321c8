"""A preset on disk: configuration, weights and tokenizer in one directory."""

import json
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

import keras
import numpy as np

from keras_clip.convert.write import write_safetensors
from keras_clip.models.weights import named_weights
from keras_clip.preprocessing.tokenizer_files import read_tokenizer

FORMAT = {"format": "keras_clip", "version": 1}


def save(model, directory, family, tokenizer=None, dtype=None):
    """Write a model as a preset directory, whole or not at all.

    Args:
        model: ViT or CLIP, with `config`.
        directory: path, created; files of an earlier preset in it are replaced.
        family: str. The name of its family in `keras_clip.presets`.
        tokenizer: CLIPTokenizer, PipelineTokenizer or None.
        dtype: str or None. Store floating weights as e.g. `float16`; None: as they are.
    """
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        described = {**FORMAT, "family": family, "config": model.config.to_dict()}
        (part / "config.json").write_text(json.dumps(described, indent=2) + "\n")
        weights = named_weights(model)
        write_safetensors(
            part / "model.safetensors",
            {name: partial(_value, weight, dtype) for name, weight in weights.items()},
        )
        if tokenizer is not None:
            tokenizer.save(part)
        directory.mkdir(exist_ok=True)
        for file in part.iterdir():
            os.replace(file, directory / file.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _value(variable, dtype):
    value = np.asarray(keras.ops.convert_to_numpy(variable))
    return value.astype(dtype) if dtype else value


def load_tokenizer(directory):
    """Read the tokenizer of a preset directory."""
    return read_tokenizer(directory)
