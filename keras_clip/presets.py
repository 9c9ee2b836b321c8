"""Models by name, from the Hub, or from disk, with weights, tokenizer and picture settings."""

import functools
import os
from dataclasses import dataclass, replace

from keras_clip.catalogue import zoo
from keras_clip.convert import CheckpointError, open_checkpoint
from keras_clip.convert.dialects import DIALECTS, find_dialect
from keras_clip.convert.dialects import FAMILIES as DIALECT_FAMILIES
from keras_clip.convert.errors import DAMAGE
from keras_clip.convert.table import Row, Table, read
from keras_clip.convert.torch_file import NOTE
from keras_clip.models.changes import changed
from keras_clip.models.clip import CLIP
from keras_clip.models.config import CLIPConfig, Config, TextConfig, ViTConfig, vision_config
from keras_clip.models.config_base import pair
from keras_clip.models.deferred_weights import deferred_weights
from keras_clip.models.preset_description import check_native, is_native, read_description
from keras_clip.models.preset_model import Tokenized
from keras_clip.models.preset_tokenizer import pick_tokenizer
from keras_clip.models.resize import position_adaptation
from keras_clip.models.towers import TextTower, VisionTower
from keras_clip.models.vit import ViT
from keras_clip.models.weights import named_weights
from keras_clip.sources import find, locate

# How a configuration is built from a dictionary, and a model from a configuration.
FAMILIES = {
    "clip": (CLIPConfig.from_dict, CLIP),
    "siglip": (CLIPConfig.from_dict, CLIP),
    "clip_vision": (vision_config, VisionTower),
    "clip_text": (TextConfig.from_dict, TextTower),
    "vit": (ViTConfig.from_dict, ViT),
    "deit": (ViTConfig.from_dict, ViT),
    "dinov2": (ViTConfig.from_dict, ViT),
}
_MOST_LAYERS = 200  # beyond them, a file has to show that it has so many
HEADS = ("head", "head_distillation")
TOWERS = {"vision": "clip_vision", "text": "clip_text"}
TABLES = DIALECTS


def from_preset(
    source,
    load_weights=True,
    dtype=None,
    image_size=None,
    tokenizer=None,
    tower=None,
    config=None,
    family=None,
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
            resampled by the model's own rule. Of a file that does not say its own size, it is that
            size where it fits the positions exactly.
        tokenizer: CLIPTokenizer, or where its vocabulary is: path, `hf://org/repo/file` or URL.
            None: the vocabulary that comes with the weights.
        tower: `vision` or `text`: only this part of a CLIP is read and built, and of safetensors
            on the Hub only this part is fetched.
        config: what stands in the config.json or open_clip_config.json that belongs to a bare
            file: a dictionary, or the path of such a file. What tensors with OpenAI's names leave
            open may stand in it alone, as `{"quick_gelu": True}`.
        family: `clip`, `siglip`, `vit`, `deit` or `dinov2`: what a bare file holds, where its names
            leave that open.
        **config_overrides: fields of the configuration. Another `num_classes` than the stored one
            gives a ViT a new, freshly initialised head; 0 drops it, and the output is the token
            sequence. `vision` and `text` of a CLIP take dictionaries of the fields to change.

    Raises:
        ValueError: the name or a field does not exist; CheckpointError, one of its kind: a file is
            damaged or does not fit its configuration; the message lists every tensor that differs.
        DownloadError: it cannot be fetched.
    """
    source = os.fspath(source)
    changes = (image_size, config_overrides)
    entry = zoo().get(source)
    if entry and not load_weights and "config" in entry:
        config = _config(entry["family"], entry["config"], source)
        plan = Plan(entry["family"], entry["table"], config, Table(()))
        return plan.change(*changes).only(tower).build(dtype, tokenizer, [])
    found = find(source, parts=tower is not None and load_weights)
    with open_checkpoint(found.file) as checkpoint:
        found, asked = found.owned(checkpoint), _asked_size(*changes)
        plan = identify(checkpoint, found, config, family, asked).change(*changes).only(tower)
        if found.partial:
            found.partial.complete([checkpoint[name] for name in plan.sources(checkpoint)])
        build = functools.partial(plan.build, dtype, tokenizer, found.tokenizers)
        return plan.load(build, checkpoint) if load_weights else build()


def identify(checkpoint, source, config=None, family=None, image_size=None):
    """Return the Plan of a checkpoint, from what stands beside it and its own names.

    Args:
        checkpoint: as `open_checkpoint` returns it.
        source: Source, of which it is the file.
        config, family: as of `from_preset`.
        image_size: (height, width) in pixels that the model shall have, or None: where it fits the
            positions of a file that does not say its own size, it is the file's.

    Raises:
        CheckpointError: its layout is not known, or its configuration is damaged.
    """
    _check_family(family)
    try:
        source = source.owned(checkpoint)
        return _identified(checkpoint, source, config, family, image_size)
    except CheckpointError:
        raise
    except DAMAGE as error:  # values that no layout has thought of
        raise CheckpointError(
            f"{checkpoint.path}: what stands beside it makes no configuration "
            f"({type(error).__name__}: {str(error)[:200]}); is it damaged? Download it again."
        ) from error


def _identified(checkpoint, source, config, family, image_size):
    folder, entry = source.folder, source.entry
    described, preprocessor = read_description(folder, config, checkpoint.metadata.get(NOTE))
    if is_native(described):
        where = folder / "config.json"
        check_native(described, FAMILIES, where)
        config = _config(described["family"], described["config"], where)
        _check_layers(config, checkpoint)
        table = Table(tuple(Row(n, n) for n in checkpoint))
        return Plan(described["family"], "keras", config, table)
    if entry:
        name, dialect = entry["table"], TABLES[entry["table"]]
        config = _config(entry["family"], _with_labels(entry, described), entry["source"])
    else:
        name, dialect = find_dialect(checkpoint, described, family)
        if name == "timm" and family:
            described = {"architecture": family, **(described or {})}
        values = dialect.config_from(checkpoint, described, preprocessor, image_size)
        config = _config(dialect.FAMILY, values, checkpoint.path)
    _check_layers(config, checkpoint)
    return Plan(dialect.FAMILY, name, config, dialect.table(config.to_dict(), checkpoint))


def _asked_size(image_size, overrides):
    """The size of pictures that the user wants, (height, width), or None."""
    vision = overrides.get("vision")
    size = image_size or (vision.get("image_size") if isinstance(vision, dict) else None)
    return pair(size) if size else None


def _check_family(family):
    known = sorted({family for families in DIALECT_FAMILIES.values() for family in families})
    if family not in (None, *known):
        raise ValueError(f"family is one of {known}, not {family!r}.")


def _check_layers(config, checkpoint):
    """Refuse numbers of layers without end before anything is built of them."""
    for tower in (getattr(config, "vision", config), getattr(config, "text", config)):
        layers = getattr(tower, "num_layers", 0) + sum(getattr(tower, "stage_blocks", ()))
        if layers > max(len(checkpoint), _MOST_LAYERS):
            raise CheckpointError(
                f"{checkpoint.path}: its configuration has {layers} layers, but there are only "
                f"{len(checkpoint)} tensors: they do not belong together."
            )


def _config(family, values, where):
    try:
        return FAMILIES[family][0](values)
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{where}: {error}") from error


def _with_labels(entry, described):
    """A preset's configuration with the class names that stand beside its weights."""
    labels = (described or {}).get("id2label") or {}
    classes = entry["config"].get("num_classes")
    if not classes or set(labels) != {str(i) for i in range(classes)}:
        return entry["config"]
    return {**entry["config"], "labels": [labels[str(i)] for i in range(classes)]}


@dataclass(frozen=True)
class Plan:
    """What is to be built, and how a checkpoint fills it.

    Args:
        family: a key of FAMILIES.
        layout: a key of TABLES, or `keras` for this package's own.
        stored: configuration of the checkpoint.
        table: Table from its tensors to the weights.
        wanted: configuration of the model, or None: as stored.
    """

    family: str
    layout: str
    stored: Config
    table: Table
    wanted: Config | None = None

    def change(self, *changes):
        """The same with what the user wants to be different; see `changed`."""
        return replace(self, wanted=changed(self.stored, *changes))

    def only(self, tower):
        """The same for one tower alone; None: for all."""
        if tower is None:
            return self
        if tower not in TOWERS or not isinstance(self.stored, CLIPConfig):
            raise ValueError(f"tower={tower!r}: a CLIP has {sorted(TOWERS)}, others have none.")
        stored, wanted = getattr(self.stored, tower), getattr(self.wanted, tower)
        return Plan(TOWERS[tower], self.layout, stored, self.table.inside(f"{tower}/"), wanted)

    def sources(self, checkpoint):
        """Names of the tensors of a checkpoint that the model needs."""
        return list(dict.fromkeys(r.source for r in self.table.rows if r.source in checkpoint))

    def build(self, dtype, tokenizer, beside):
        """The model, its weights fresh; `beside` are places where its tokenizer may be."""
        model = FAMILIES[self.family][1]
        if not issubclass(model, Tokenized):
            if tokenizer is not None:
                raise ValueError(f"A {model.__name__} takes no tokenizer.")
            return model(self.wanted, dtype=dtype)
        text = getattr(self.wanted, "text", self.wanted)
        tokenizer = pick_tokenizer(text, tokenizer, beside, locate)
        return model(self.wanted, tokenizer=tokenizer, dtype=dtype)

    def load(self, build, checkpoint):
        """Build the model and fill it; only a new head keeps its fresh weights."""
        stored, wanted, prefix = self.stored, self.wanted, ""
        new_head = getattr(stored, "num_classes", 0) != getattr(wanted, "num_classes", 0)
        if isinstance(stored, CLIPConfig):
            stored, wanted, prefix = stored.vision, wanted.vision, "vision/"
        adapt = position_adaptation(stored, wanted, prefix) if hasattr(stored, "grid_size") else {}
        with deferred_weights(keep=HEADS if new_head else ()) as slots:
            model = build()
            weights = slots(named_weights(model))
            dropped = tuple(f"{name}/" for name in (*HEADS, "pre_logits"))
            table = self.table.without(*dropped) if new_head else self.table
            read(table, checkpoint, weights, adapt)
        return model
