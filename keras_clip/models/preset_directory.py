"""A preset on disk: configuration, weights and tokenizer in one directory."""

import json
from functools import partial
from pathlib import Path

import keras
import numpy as np

from keras_clip.convert.write import write_safetensors
from keras_clip.layers.layer_state import walk
from keras_clip.models.weights import named_weights
from keras_clip.preprocessing.atomic_file import whole_directory
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

    Returns:
        {name of a file: its bytes}.

    Raises:
        ValueError: the model has LoRA adapters, or is quantised.
    """
    check_plain_weights(model)
    with whole_directory(Path(directory)) as part:
        config = model.config.to_dict()
        described = {**FORMAT, "family": family, "config": config, **model.kept_state()}
        (part / "config.json").write_text(json.dumps(described, indent=2) + "\n")
        weights = named_weights(model)
        write_safetensors(
            part / "model.safetensors",
            {name: partial(_value, weight, dtype) for name, weight in weights.items()},
        )
        if tokenizer is not None:
            tokenizer.save(part)
        return {file.name: file.stat().st_size for file in sorted(part.iterdir())}


def check_plain_weights(model):
    """Raise a ValueError where a layer has LoRA adapters or is quantised, which no file says."""
    for path, layer in walk(model):
        if getattr(layer, "lora_enabled", False):
            raise ValueError(
                f"{path} has LoRA adapters, which this would not keep: call "
                "keras_clip.finetune.merge_adapters(model) first, or save_adapters for them alone."
            )
        mode = getattr(layer, "quantization_mode", None)
        if mode:
            raise ValueError(
                f"{path} is quantised ({mode}), which this cannot say: model.save('name.keras') "
                "keeps it; write checkpoints before you quantise."
            )


def _value(variable, dtype):
    value = np.asarray(keras.ops.convert_to_numpy(variable))
    return value.astype(dtype) if dtype else value


def load_tokenizer(directory):
    """Read the tokenizer of a preset directory."""
    return read_tokenizer(directory)
