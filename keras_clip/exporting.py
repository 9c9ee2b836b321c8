"""Models back into the layouts that other libraries read."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import keras

from keras_clip.convert import (
    google_vit,
    huggingface_clip,
    huggingface_clip_classifier,
    huggingface_deit,
    huggingface_dinov2,
    huggingface_siglip,
    huggingface_siglip2,
    huggingface_vit,
    open_clip,
    open_clip_siglip,
    openai,
    timm_vit,
)
from keras_clip.convert.errors import CheckpointError, OtherKindError
from keras_clip.convert.table import write
from keras_clip.convert.write import write_npz, write_safetensors, write_torch_zip
from keras_clip.models.preset_directory import check_plain_weights
from keras_clip.models.weights import named_weights
from keras_clip.preprocessing.atomic_file import whole_directory
from keras_clip.preprocessing.image_config import ImageConfig
from keras_clip.preprocessing.pipeline_tokenizer import PipelineTokenizer

# The layouts of each format, in the order in which they are tried.
FORMATS = {
    "huggingface": {
        "clip": (huggingface_clip, huggingface_siglip, huggingface_siglip2),
        "vit": (
            huggingface_vit,
            huggingface_deit,
            huggingface_dinov2,
            huggingface_clip_classifier,
        ),
    },
    "open_clip": {"clip": (open_clip, open_clip_siglip)},
    "openai": {"clip": (openai,)},
    "google": {"vit": (google_vit,)},
    "timm": {"vit": (timm_vit,)},
}
# What training or later resizing need, not the numbers of the model.
_FREE = {
    *("dropout_rate", "stochastic_depth_rate", "patch_dropout_rate", "layer_scale"),
    *("initial_scale", "max_scale", "position_resize", "pad_token_id", "labels"),
}
_SHARD_BYTES = 5 * 10**9
# Formats that are directories: their file of weights, and the bytes beyond which it is split.
_DIRECTORIES = {
    "huggingface": ("model.safetensors", _SHARD_BYTES),
    "open_clip": ("open_clip_model.safetensors", None),
    "timm": ("model.safetensors", None),
    "keras": ("model.safetensors", None),
}


def export_checkpoint(model, path, format="huggingface", dtype=None, dry_run=False):
    """Write a CLIP or ViT so that other libraries read it.

    Before anything is written, the file's own rules are asked what they would read back: a model
    that they cannot express is an error, never other numbers.

    Args:
        model: CLIP or ViT; one tower of a CLIP goes into a `keras` preset only.
        path: `huggingface`: a directory, created, with config.json, model.safetensors,
            preprocessor_config.json and the tokenizer if there is one. `open_clip`: a directory,
            with open_clip_config.json and open_clip_model.safetensors. `openai`: a file, such as
            `clip.pt`. `google`: a file, such as `vit.npz`. `timm`: a directory, with config.json
            and model.safetensors. `keras`: a preset's directory.
        format: `huggingface`, `open_clip` (CLIP), `openai` (CLIP), `google` (ViT), `timm` (ViT),
            or `keras`.
        dtype: str. Store weights as e.g. `float16`; None: as they are. OpenAI's layout keeps
            norms and embeddings in float32, as the official files do.
        dry_run: bool. Only find out whether the format can express the model.

    Returns:
        {name of a file: its bytes}; in a dry run the names alone, without shards, and None.

    Raises:
        ValueError: there is no such format for this kind of model.
        CheckpointError: the format cannot express the model; the message says what.
    """
    path = Path(path)
    _check_place(path, format, model.FAMILY)
    tensors, files = ({}, {}) if format == "keras" else _expressed(model, format, dtype)
    if dry_run:
        if format not in _DIRECTORIES:
            return {path.name: None}
        names = ["config.json"] if format == "keras" else files
        return dict.fromkeys([_DIRECTORIES[format][0], *names])
    if format == "keras":
        return model.save_to_preset(path, dtype=dtype)
    if format in _DIRECTORIES:
        return _write_directory(path, format, model, tensors, files)
    path.parent.mkdir(parents=True, exist_ok=True)
    if format == "openai":
        write_torch_zip(path, tensors, *files.values())
    else:
        write_npz(path, tensors)
    return {path.name: path.stat().st_size}


def _check_place(path, format, family):
    """Raise a ValueError unless a model of this family can be written so, and there."""
    possible = [name for name, families in FORMATS.items() if family in families]
    if format not in (*possible, "keras"):
        raise ValueError(f"A {family} is written as {[*possible, 'keras']}, not as {format!r}.")
    is_directory = format in _DIRECTORIES
    if is_directory and path.is_file():
        raise ValueError(f"{path} is a file; the {format} format is a directory.")
    if not is_directory and path.is_dir():
        raise ValueError(f"{path} is a directory; the {format} format is a file: add its name.")


def _expressed(model, format, dtype):
    """The tensors and JSON files of the first layout that can express the model."""
    check_plain_weights(model)
    config, weights, errors = model.config.to_dict(), named_weights(model), []
    for dialect in FORMATS[format][model.FAMILY]:
        try:
            table = dialect.table(config)
            tensors = write(table, {n: partial(_array, v) for n, v in weights.items()}, dtype)
            files = dialect.config_to(config)
            _check_read_back(model.config, dialect, table, weights, files)
        except CheckpointError as error:
            errors.append(error)
        else:
            if format == "open_clip":
                _name_tokenizer(files[open_clip.CONFIG_FILE], model._tokenizer)
            return tensors, files
    nearest = min(errors, key=lambda e: (isinstance(e, OtherKindError), str(e).count("\n")))
    raise CheckpointError(f"This model cannot be written as {format}: {nearest}")


def _name_tokenizer(config, tokenizer):
    """Let OpenCLIP read a tokenizer that is not its own from the directory, which any name does."""
    if isinstance(tokenizer, PipelineTokenizer) or getattr(tokenizer, "added_tokens", None):
        text_cfg = config["model_cfg"]["text_cfg"]
        text_cfg.setdefault("hf_tokenizer_name", "local")
        text_cfg.setdefault("tokenizer_kwargs", {"clean": "whitespace"})


def _array(variable):
    return keras.ops.convert_to_numpy(variable.value)


def _check_read_back(config, dialect, table, weights, files):
    """Raise CheckpointError where reading the file would give another configuration."""
    stored = {
        row.source: SimpleNamespace(shape=row.transform.file_shape(weights[row.target].shape))
        for row in table.rows
    }
    # The files are read as they are stored: tuples become lists, keys become text.
    files = json.loads(json.dumps(files))
    preprocessor = files.pop("preprocessor_config.json", None)
    (described,) = files.values() or (None,)
    back = type(config).from_dict(dialect.config_from(stored, described, preprocessor))
    ours, theirs = _flat(config.to_dict()), _flat(back.to_dict())
    if ours.get("head_activation") is None:  # logits are what all libraries give
        theirs["head_activation"] = ours["head_activation"] = None
    lines = [
        f"\n  {name}={ours.get(name)!r} would be read as {theirs.get(name)!r}"
        for name in ours | theirs
        if ours.get(name) != theirs.get(name)
    ]
    if lines:
        raise CheckpointError(
            f"its layout has no place for{''.join(lines)}\n"
            "Loaded with what would be read, from_preset(..., name=value), it could be written."
        )


def _flat(values, prefix=""):
    flat = {}
    for name, value in values.items():
        if name == "image":
            flat.update({f"{prefix}image.{n}": v for n, v in _pixels(value).items()})
        elif isinstance(value, dict):
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


def _pixels(image):
    """What of a treatment of pictures other libraries must say, in values that tell pixels apart.

    Where an odd margin goes, a shift by a pixel, and when colours are converted, which matters for
    pictures that are not RGB, is fixed in each library's code.
    """
    values = {n: tuple(v) if isinstance(v, list) else v for n, v in image.items()}
    if "size" not in values:  # of a NaFlex model
        del values["color"]
        return values
    config = ImageConfig(**values)
    shares = {side / scaled for side, scaled in zip(config.size, config.scaled_size, strict=True)}
    covers = config.resize_mode == "shortest" and len(set(config.scaled_size)) == 2
    return {
        **{name: values[name] for name in ("mean", "std", "interpolation", "resize_mode")},
        "crop_fraction": tuple(sorted(shares)) if len(shares) > 1 else shares.pop(),
        "crop": "timm" if covers and config.crop == "timm" else None,
    }


def _write_directory(path, format, model, tensors, files):
    """Write weights, JSON files and tokenizer; return {name: bytes}."""
    with whole_directory(path) as part:
        name, shard_bytes = _DIRECTORIES[format]
        # transformers asks for this mark.
        write_safetensors(part / name, tensors, {"format": "pt"}, shard_bytes)
        for name, content in files.items():
            text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
            (part / name).write_text(text, "utf-8")
        if model._tokenizer is not None:
            model._tokenizer.save(part)
        return {file.name: file.stat().st_size for file in sorted(part.iterdir())}
