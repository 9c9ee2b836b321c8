"""Models by name, from the Hub, or from disk, with weights, tokenizer and picture settings."""

import functools
import os
from pathlib import Path

from keras_clip.catalogue import BUNDLED, unknown_preset, zoo, zoo_directory
from keras_clip.convert import CheckpointError, open_checkpoint
from keras_clip.convert.dialects import DIALECTS, find_dialect
from keras_clip.convert.table import Row, Table, read
from keras_clip.download import fetch, is_remote
from keras_clip.hub_files import WEIGHTS, pick_weights
from keras_clip.models.changes import changed
from keras_clip.models.clip import CLIP
from keras_clip.models.config import CLIPConfig, ViTConfig
from keras_clip.models.deferred_weights import deferred_weights
from keras_clip.models.policy import policy_scope
from keras_clip.models.preset_description import check_native, is_native, read_json
from keras_clip.models.preset_tokenizer import pick_tokenizer
from keras_clip.models.resize import position_adaptation
from keras_clip.models.vit import ViT
from keras_clip.models.weights import named_weights

FAMILIES = {"clip": (CLIPConfig, CLIP), "vit": (ViTConfig, ViT)}
TABLES = DIALECTS


def from_preset(
    source,
    load_weights=True,
    dtype=None,
    image_size=None,
    num_classes=None,
    tokenizer=None,
    **config_overrides,
):
    """Load a model: a CLIP or a ViT, a `keras.Model` on whichever backend Keras runs.

    Args:
        source: a name from `list_presets()`, `hf://org/repo[@revision][/file]`, an http(s) URL,
            or the path of a directory or file; its layout is found from its content. A name comes
            before a path of the same name, which is then written `./name`.
        load_weights: False: freshly initialised; for a name, nothing is fetched.
        dtype: dtype policy, such as `mixed_bfloat16` or `float16`; None: Keras's global one.
        image_size: int or (height, width) in pixels, other than the pretrained one: positions are
            resampled by the model's own rule.
        num_classes: classes of a ViT's head. Another number than the stored one gives a new,
            freshly initialised head; 0 drops it, and the output is the token sequence.
        tokenizer: CLIPTokenizer, or where its vocabulary is: path, `hf://org/repo/file` or URL.
            None: the vocabulary that comes with the weights.
        **config_overrides: fields of the configuration; `vision` and `text` of a CLIP take
            dictionaries of the fields to change.

    Raises:
        ValueError: the name or a field does not exist; CheckpointError, one of its kind: a file is
            damaged or does not fit its configuration; the message lists every tensor that differs.
        DownloadError: it cannot be fetched.
    """
    source = os.fspath(source)
    changes = (image_size, num_classes, config_overrides)
    entry = zoo().get(source)
    if entry and not load_weights and "config" in entry:
        config = changed(_config(entry["family"], entry["config"], source), *changes)
        return _build(entry["family"], config, dtype, tokenizer, [])
    path = _on_disk(source, entry)
    folder, file = _places(path, entry)
    with open_checkpoint(file) as checkpoint:
        family, stored, table = _identify(checkpoint, folder, entry)
        wanted = changed(stored, *changes)
        beside = [folder or next(iter(sorted(path.parent.glob("bpe_*.txt.gz"))), None)]
        beside += [entry.get("tokenizer")] if entry else []
        build = functools.partial(_build, family, wanted, dtype, tokenizer, beside)
        return _load(build, stored, wanted, table, checkpoint) if load_weights else build()


def _on_disk(source, entry):
    """The local path of a source, fetched where it is remote."""
    if entry:
        if entry["source"].startswith(BUNDLED):
            return zoo_directory() / entry["source"].removeprefix(BUNDLED)
        return fetch(entry["source"], entry.get("sha256"), _prefer(entry))
    looks_like_path = os.sep in source or Path(source).suffix
    if not (is_remote(source) or looks_like_path or Path(source).exists()):
        raise unknown_preset(source)
    return _located(source)


def _located(place):
    return fetch(str(place)) if is_remote(place) else Path(place)


def _prefer(entry):
    """OpenAI's names are in the weights that OpenCLIP puts beside transformers' own."""
    return "open_clip" if entry and entry["table"] == "openai" else ""


def _places(path, entry):
    """(directory with the configuration or None, file with the weights)."""
    if not path.is_dir():
        return (path.parent if path.name in WEIGHTS else None), path
    name = pick_weights({file.name for file in path.iterdir()}, _prefer(entry))
    return path, path / name if name else path


def _identify(checkpoint, folder, entry):
    """(family, configuration as stored, table) of a checkpoint."""
    described, preprocessor = (
        read_json(folder / name) if folder else None
        for name in ("config.json", "preprocessor_config.json")
    )
    if is_native(described):
        where = folder / "config.json"
        check_native(described, FAMILIES, where)
        config = _config(described["family"], described["config"], where)
        return described["family"], config, Table(tuple(Row(n, n) for n in checkpoint))
    if entry:
        dialect = TABLES[entry["table"]]
        config = _config(entry["family"], _with_labels(entry, described), entry["source"])
    else:
        name, dialect = find_dialect(checkpoint, described)
        if name == "openai" and checkpoint.path.name.startswith("open_clip"):
            raise CheckpointError(
                f"{checkpoint.path}: OpenCLIP's layout is not read yet: its open_clip_config.json "
                "says what its tensors do not. Use a preset of keras_clip.list_presets('clip'), or "
                "the model in the layout of transformers."
            )
        values = dialect.config_from(checkpoint, described, preprocessor)
        config = _config(dialect.FAMILY, values, checkpoint.path)
    return dialect.FAMILY, config, dialect.table(config.to_dict(), checkpoint)


def _config(family, values, where):
    try:
        return FAMILIES[family][0].from_dict(values)
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{where}: {error}") from error


def _with_labels(entry, described):
    """A preset's configuration with the class names that stand beside its weights."""
    labels = (described or {}).get("id2label") or {}
    classes = entry["config"].get("num_classes")
    if not classes or set(labels) != {str(i) for i in range(classes)}:
        return entry["config"]
    return {**entry["config"], "labels": [labels[str(i)] for i in range(classes)]}


def _build(family, config, dtype, tokenizer, beside):
    model = FAMILIES[family][1]
    if family != "clip":
        if tokenizer is not None:
            raise ValueError(f"A {model.__name__} takes no tokenizer.")
        with policy_scope(dtype):
            return model(config)
    tokenizer = pick_tokenizer(config.text, tokenizer, beside, _located)
    return model(config, tokenizer=tokenizer, dtype=dtype)


def _load(build, stored, wanted, table, checkpoint):
    """Build the model and fill it; only a new head keeps its fresh weights."""
    clip = isinstance(stored, CLIPConfig)
    new_head = not clip and stored.num_classes != wanted.num_classes
    towers = (stored.vision, wanted.vision, "vision/") if clip else (stored, wanted)
    with deferred_weights(keep=("head",) if new_head else ()) as slots:
        model = build()
        weights = slots(named_weights(model))
        table = table.without("head/", "pre_logits/") if new_head else table
        read(table, checkpoint, weights, position_adaptation(*towers))
    return model
