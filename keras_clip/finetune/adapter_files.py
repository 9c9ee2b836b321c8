"""Adapters alone in a file, a few megabytes, tied to the weights that they were trained on."""

import json
from pathlib import Path

import keras

from keras_clip.convert import CheckpointError, open_checkpoint, write_safetensors
from keras_clip.finetune.adapters import (
    adapted_layers,
    adapter_weights,
    check_plain,
    merge_adapters,
    put_adapters,
)
from keras_clip.layers.layer_state import walk
from keras_clip.models.weights import named_weights
from keras_clip.models.weights_hash import weights_hash

_FORMAT, _VERSION = "keras_clip_adapters", 1


def save_adapters(model, path):
    """Write a model's adapters, and its head where that trains with them: safetensors.

    Args:
        model: what `lora` has put adapters into.
        path: file to create or replace, whole or not at all, ending with `.safetensors`; folders
            that lead there are made.

    Returns:
        int, the file's bytes.

    Raises:
        ValueError: the model has no adapters, or the path another suffix.
    """
    path, adapted = Path(path), adapted_layers(model)
    if not adapted:
        raise ValueError(f"{model.name!r} has no adapters to save: lora(model) first.")
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: the name of a file of adapters ends with .safetensors.")
    weights = adapter_weights(model)
    layer = adapted[0][1]
    about = {
        "format": _FORMAT, "version": _VERSION, "rank": layer.lora_rank, "alpha": layer.lora_alpha,
        "layers": [path for path, _ in adapted], "base": _base_hash(model, weights),
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: keras.ops.convert_to_numpy(weight) for name, weight in weights.items()}
    write_safetensors(path, arrays, {_FORMAT: json.dumps(about)})
    return path.stat().st_size


def load_adapters(model, path):
    """Put adapters from a file into the model that they were trained on: the same model.

    Args:
        model: a CLIP, ViT, tower or classifier as it was before `lora`, of the same weights.
        path: what `save_adapters` wrote, on any backend.

    Returns:
        The model, with all but the adapters (and the head among them) frozen, as by `lora`.

    Raises:
        CheckpointError: the file is damaged, or holds something else.
        ValueError: the model has other weights or layers, or adapters already.
    """
    check_plain(model)
    with open_checkpoint(path) as checkpoint:
        about = _about(checkpoint)
        arrays = {name: tensor.read() for name, tensor in checkpoint.items()}
    _check_base(model, about, arrays, path)
    train_head = any(name.startswith("head/") for name in arrays)
    put_adapters(model, about["layers"], about["rank"], about["alpha"], train_head)
    weights = adapter_weights(model)
    wanted = {name: tuple(weight.shape) for name, weight in weights.items()}
    if wanted != {name: array.shape for name, array in arrays.items()}:
        merge_adapters(model)  # they change nothing yet
        raise ValueError(f"{path}: its tensors have other names or shapes than the model needs.")
    for name, weight in weights.items():
        weight.assign(arrays[name])
    return model


def _about(checkpoint):
    """What the file says of its adapters, checked."""
    try:
        about = json.loads(checkpoint.metadata[_FORMAT])
        version, layers = about["version"], about["layers"]
        good = type(about["rank"]) is int and about["rank"] > 0 and layers
        good = good and all(type(layer) is str for layer in layers)
        good = good and type(about["alpha"]) in (int, float) and type(about["base"]) is str
    except (KeyError, TypeError, ValueError):
        good = False
    if not good:
        raise CheckpointError(f"{checkpoint.path}: holds no adapters that keras-clip has written.")
    if version != _VERSION:
        raise CheckpointError(
            f"{checkpoint.path}: version is {version!r}, known is {_VERSION}: update keras-clip."
        )
    return about


def _check_base(model, about, arrays, path):
    """Refuse adapters of another model, by its layers first, then by its weights."""
    missing = sorted(set(about["layers"]) - {layer for layer, _ in walk(model)})
    if missing:
        raise ValueError(
            f"{path}: its adapters belong to layers that {model.name!r} does not have, such as "
            f"{missing[0]}: they were trained on another model, or on another part of it."
        )
    if _base_hash(model, arrays) != about["base"]:
        raise ValueError(
            f"{path}: its adapters were trained on other weights than {model.name!r} has: load "
            "them into the model as it was then, of the same dtype and not fine-tuned since."
        )


def _base_hash(model, adapters):
    """Hash of all weights that the adapters' file does not hold, as they are without adapters."""
    weights = named_weights(model)
    return weights_hash(model, {n: weights[n] for n in weights if n not in adapters})
