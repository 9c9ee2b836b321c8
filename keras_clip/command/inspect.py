"""`keras-clip inspect`: what is in a checkpoint, and what would be built from it."""

import math
import os
from fnmatch import fnmatchcase

from keras_clip.convert import CheckpointError, open_checkpoint
from keras_clip.convert.views import View
from keras_clip.download import DownloadError
from keras_clip.filling import FAMILIES
from keras_clip.identification import identify
from keras_clip.models.preset_model import Tokenized
from keras_clip.models.preset_tokenizer import pick_tokenizer
from keras_clip.sources import find, locate


def inspect(source, config=None, family=None, weights=None, ignore=()):
    """Tell what a checkpoint holds; no weight is read and no model is built.

    Args:
        source: whatever `from_preset` takes; what is remote is fetched.
        config, family, ignore: as of `from_preset`.
        weights: str or None. Which of several sets of weights, as its `load_weights` says.

    Returns:
        Dictionary. Of the file: `source`, `path`, `format`, `values`, `bytes`, `bytes_by_dtype`,
        `metadata`, and `tensors`, each with `name`, `shape` and `dtype`; `prefix`, cut from their
        names, and `notes` on what was chosen and left out. Of what it is: `dialect`, `family` and
        `model` (see `planned`), or None each for the reason in `why_not`.

    Raises:
        ValueError: there is no such preset; CheckpointError: the file is damaged, hostile or not
            weights.
        DownloadError: it cannot be fetched.
    """
    found = find(os.fspath(source))
    report = {"source": str(source), "dialect": None, "family": None, "model": None}
    with open_checkpoint(found.file, weights) as checkpoint:
        view, report["why_not"] = View(checkpoint, checkpoint, notes=checkpoint.notes), None
        try:
            found = found.owned(checkpoint)
            plan = identify(checkpoint, found, config, family, ignore)
        except CheckpointError as error:
            report["why_not"] = str(error)
        else:
            view, report["dialect"], report["family"] = plan.view, plan.layout, plan.family
            report["model"] = planned(plan, view.tensors)
            report["model"]["tokenizer"] = _tokenizer(plan, found.tokenizers)
        report |= {"path": str(checkpoint.path), **content(view.tensors)}
    report |= {"prefix": view.prefix, "notes": list(view.notes)}
    return report


def content(checkpoint):
    """Return what an open checkpoint says of itself, as JSON-ready values."""
    sizes = {}
    for tensor in checkpoint.values():
        sizes[str(tensor.dtype)] = sizes.get(str(tensor.dtype), 0) + tensor.nbytes
    return {
        "format": checkpoint.format,
        "values": sum(math.prod(tensor.shape) for tensor in checkpoint.values()),
        "bytes": sum(sizes.values()),
        "bytes_by_dtype": sizes,
        "metadata": _plain(checkpoint.metadata),
        "tensors": [
            {"name": name, "shape": list(tensor.shape), "dtype": str(tensor.dtype)}
            for name, tensor in checkpoint.items()
        ],
    }


def planned(plan, checkpoint):
    """Return what would be built: `class`, `params`, `config`, and tensors `missing` or `unused`.

    `params` counts the values of the file that become weights.
    """
    used = {row.source: None for row in plan.table.rows}
    return {
        "class": FAMILIES[plan.family][1].__name__,
        "params": sum(math.prod(checkpoint[name].shape) for name in used if name in checkpoint),
        "config": plan.stored.to_dict(),
        "missing": [name for name in used if name not in checkpoint],
        "unused": [
            name
            for name in checkpoint
            if name not in used and not any(fnmatchcase(name, p) for p in plan.table.ignore)
        ],
    }


def _tokenizer(plan, places):
    """{`class`, `vocabulary_size`}, {`why_not`}, or None where the model takes no texts."""
    if not issubclass(FAMILIES[plan.family][1], Tokenized):
        return None
    try:
        found = pick_tokenizer(getattr(plan.stored, "text", plan.stored), None, places, locate)
    except (ValueError, OSError, DownloadError) as error:
        return {"why_not": str(error)}
    if found is None:
        return {"why_not": "no vocabulary is beside the weights: give it as tokenizer=path"}
    return {"class": type(found).__name__, "vocabulary_size": found.vocabulary_size}


def _plain(value):
    """The same for JSON, which has neither NaN nor infinity and whose keys are text."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    number = isinstance(value, float) and not math.isfinite(value)
    return str(value) if number else value
