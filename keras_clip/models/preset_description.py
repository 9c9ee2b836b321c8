"""What stands in a preset's config.json, checked."""

import json
from pathlib import Path

from keras_clip.convert.errors import CheckpointError
from keras_clip.layers.layer_state import KEY
from keras_clip.models.preset_directory import FORMAT

# How pictures become pixels, as transformers and as KerasHub say it.
_PICTURES = ("preprocessor_config.json", "image_converter.json")


def read_json(path):
    """Return the object in a JSON file as a dictionary, or None where there is no file.

    Raises:
        CheckpointError: it is damaged, or holds something else.
    """
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: is not JSON ({error}); get it again.") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: holds no JSON object but {type(values).__name__}.")
    return values


def read_description(folder, more=None, note=None):
    """Return what stands beside the weights in a directory: (configuration, image processing).

    The configuration has the fields of config.json and of open_clip_config.json, which have none in
    common, so that a layout can look for its own; None where there is neither.

    Args:
        folder: pathlib.Path or None.
        more: dictionary, or path of a JSON file, with fields that the directory lacks; or None.
        note: what the file of the weights says itself, a dictionary, or None.

    Raises:
        CheckpointError: a file is damaged.
    """
    names = ("config.json", "open_clip_config.json", *_PICTURES)
    *configs, pictures, others = (read_json(folder / name) if folder else None for name in names)
    if more is not None and not isinstance(more, dict):
        path, more = Path(more), read_json(Path(more))
        if more is None:
            raise CheckpointError(f"{path}: there is no such file; config= names a JSON file.")
    merged = {}
    for values in (note, *configs, more):
        merged.update(values or {})
    return merged or None, pictures or others


def is_native(description):
    """Whether a config.json is this package's own."""
    return bool(description) and description.get("format") == FORMAT["format"]


def check_native(description, families, path):
    """Check version, family and configuration of an own config.json.

    Args:
        description: dictionary of the file.
        families: the families that may be named; a file cannot name classes.
        path: of the file, for messages.

    Raises:
        CheckpointError: one of them is missing or unknown.
    """
    version, family = description.get("version"), description.get("family")
    if type(version) is not int or not 1 <= version <= FORMAT["version"]:
        raise CheckpointError(
            f"{path}: version is {version!r}, known is {FORMAT['version']}: update keras-clip."
        )
    if not isinstance(family, str) or family not in families:
        raise CheckpointError(f"{path}: family is {family!r}, not one of {list(families)}.")
    _check_objects({"config": description.get("config")}, path)


def stored_state(description, path):
    """What a preset says of frozen layers, as `restore_state` takes it; {} where all train.

    Raises:
        CheckpointError: it says anything else.
    """
    state = description.get(KEY, {})
    good = isinstance(state, dict) and all(
        isinstance(kept, dict)
        and set(kept) <= {"trainable", "exceptions"}
        and type(kept.get("trainable", True)) is bool
        and isinstance(kept.get("exceptions", []), list)
        for kept in state.values()
    )
    if not good:
        raise CheckpointError(f"{path}: {KEY} is no object that says which layers do not train.")
    return state


def _check_objects(values, path):
    """Check that configurations inside configurations are objects."""
    for name in ("config", "vision", "text", "image"):
        if name in values:
            if not isinstance(values[name], dict):
                raise CheckpointError(f"{path}: {name} is missing or no JSON object.")
            _check_objects(values[name], path)
