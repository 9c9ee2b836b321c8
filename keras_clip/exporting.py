"""Models back into the layouts that other libraries read."""

import json
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import keras

from keras_clip.convert import google_vit, huggingface_clip, huggingface_vit, openai
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.table import write
from keras_clip.convert.write import write_npz, write_safetensors, write_torch_zip
from keras_clip.models.clip import CLIP
from keras_clip.models.weights import named_weights

FORMATS = {
    "huggingface": {"clip": huggingface_clip, "vit": huggingface_vit},
    "openai": {"clip": openai},
    "google": {"vit": google_vit},
}
# What training, later resizing or the user's own pictures need, not the numbers of the model.
_FREE = {
    *("dropout_rate", "stochastic_depth_rate", "layer_scale", "initial_scale", "max_scale"),
    *("position_resize", "pad_token_id", "labels", "head_activation", "crop", "color"),
}
_SHARD_BYTES = 5 * 10**9


def export_checkpoint(model, path, format="huggingface", dtype=None):
    """Write a CLIP or ViT so that other libraries read it.

    Before anything is written, the file's own rules are asked what they would read back: a model
    that they cannot express is an error, never other numbers.

    Args:
        model: CLIP or ViT.
        path: `huggingface`: a directory, created, with config.json, model.safetensors,
            preprocessor_config.json and the tokenizer if there is one. `openai`: a file, such as
            `clip.pt`. `google`: a file, such as `vit.npz`. `keras_clip`: a preset's directory.
        format: `huggingface`, `openai` (CLIP), `google` (ViT), or `keras_clip`.
        dtype: str. Store weights as e.g. `float16`; None: as they are. OpenAI's layout keeps
            norms and embeddings in float32, as the official files do.

    Raises:
        ValueError: there is no such format for this kind of model.
        CheckpointError: the format cannot express the model; the message says what.
    """
    path = Path(path)
    if format == "keras_clip":
        model.save_to_preset(path, dtype=dtype)
        return
    family = "clip" if isinstance(model, CLIP) else "vit"
    if family not in FORMATS.get(format, {}):
        possible = [name for name, families in FORMATS.items() if family in families]
        raise ValueError(
            f"A {family} is written as {[*possible, 'keras_clip']}, not as {format!r}."
        )
    if format == "huggingface" and path.is_file():
        raise ValueError(f"{path} is a file; the huggingface format is a directory.")
    if format != "huggingface" and path.is_dir():
        raise ValueError(f"{path} is a directory; the {format} format is a file: add its name.")
    dialect = FORMATS[format][family]
    config = model.config.to_dict()
    weights = named_weights(model)
    try:
        table = dialect.table(config)
        tensors = write(table, {n: partial(_array, v) for n, v in weights.items()}, dtype)
        files = dialect.config_to(config)
        _check_read_back(model.config, dialect, table, weights, files)
    except CheckpointError as error:
        raise CheckpointError(f"This model cannot be written as {format}: {error}") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    if format == "huggingface":
        _write_directory(path, tensors, files, getattr(model, "_tokenizer", None))
    else:
        {"openai": write_torch_zip, "google": write_npz}[format](path, tensors)


def _array(variable):
    return keras.ops.convert_to_numpy(variable.value)


def _check_read_back(config, dialect, table, weights, files):
    """Raise CheckpointError where reading the file would give another configuration."""
    stored = {
        row.source: SimpleNamespace(shape=row.transform.file_shape(weights[row.target].shape))
        for row in table.rows
    }
    # The files are read as they are stored: tuples become lists, keys become text.
    described = (
        json.loads(json.dumps(files.get(name)))
        for name in ("config.json", "preprocessor_config.json")
    )
    back = type(config).from_dict(dialect.config_from(stored, *described))
    ours, theirs = _flat(config.to_dict()), _flat(back.to_dict())
    lines = [
        f"\n  {name}={ours.get(name)!r} would be read as {theirs.get(name)!r}"
        for name in ours | theirs
        if ours.get(name) != theirs.get(name)
    ]
    if lines:
        raise CheckpointError("its layout has no place for" + "".join(lines))


def _flat(values, prefix=""):
    flat = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}."))
        elif name not in _FREE:
            flat[prefix + name] = tuple(value) if isinstance(value, list) else value
    # The highest id there is comes first at its own first position: both rules agree.
    last = flat.get(f"{prefix}vocabulary_size", 0) - 1
    if flat.get(f"{prefix}pooling") == "end_token" and flat[f"{prefix}end_token_id"] == last:
        flat[f"{prefix}pooling"] = "highest_id"
    if flat.get(f"{prefix}pooling") == "highest_id":
        flat.pop(f"{prefix}end_token_id", None)
    return flat


def _write_directory(path, tensors, files, tokenizer):
    """Write transformers' files beside the directory, then move them into it."""
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        # transformers asks for this mark.
        marks = {"format": "pt"}
        write_safetensors(part / "model.safetensors", tensors, marks, _SHARD_BYTES)
        for name, content in files.items():
            text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
            (part / name).write_text(text, "utf-8")
        if tokenizer is not None:
            tokenizer.save(part)
        path.mkdir(exist_ok=True)
        for file in part.iterdir():
            os.replace(file, path / file.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
