"""What a checkpoint holds: its layout, its configuration, and the table that fills a model."""

from dataclasses import dataclass, replace

from keras_clip.convert import CheckpointError
from keras_clip.convert.dialects import DIALECTS, find_dialect
from keras_clip.convert.dialects import FAMILIES as DIALECT_FAMILIES
from keras_clip.convert.errors import DAMAGE, MissingTensorError, UnknownLayoutError
from keras_clip.convert.folding import grouped
from keras_clip.convert.table import Row, Table, read
from keras_clip.convert.views import View, views
from keras_clip.models.changes import changed
from keras_clip.models.clip import CLIP
from keras_clip.models.config import CLIPConfig, Config, TextConfig, ViTConfig, vision_config
from keras_clip.models.deferred_weights import deferred_weights
from keras_clip.models.preset_description import check_native, is_native, read_description
from keras_clip.models.preset_model import Tokenized
from keras_clip.models.preset_tokenizer import pick_tokenizer
from keras_clip.models.resize import position_adaptation
from keras_clip.models.towers import TextTower, VisionTower
from keras_clip.models.vit import ViT
from keras_clip.models.weights import named_weights
from keras_clip.sources import locate

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
_ADVICE = (
    "A prefix is cut where all names have it; tensors beside the model are left out by "
    "ignore='pattern', and load_weights='start' reads those whose names begin so."
)
_MOST_LAYERS = 200  # beyond them, a file has to show that it has so many
HEADS = ("head", "head_distillation")
TOWERS = {"vision": "clip_vision", "text": "clip_text"}


def identify(checkpoint, source, config=None, family=None, ignore=()):
    """Return the Plan of a checkpoint, from what stands beside it and its own names.

    Args:
        checkpoint: as `open_checkpoint` returns it.
        source: Source, of which it is the file.
        config, family, ignore: as of `from_preset`.

    Raises:
        CheckpointError: its layout is not known, or its configuration is damaged.
    """
    _check_family(family)
    try:
        described, preprocessor = read_description(source.folder, config)
        if is_native(described):
            return _native(next(views(checkpoint, ignore)), described, source.folder)
        plan = _foreign(checkpoint, ignore, source.entry, described, preprocessor, family)
        plan.view.check()
        return plan
    except CheckpointError:
        raise
    except DAMAGE as error:  # values that no layout has thought of
        raise CheckpointError(
            f"{checkpoint.path}: what stands beside it makes no configuration "
            f"({type(error).__name__}: {str(error)[:200]}); is it damaged? Download it again."
        ) from error


def _native(view, described, folder):
    view.check()
    where = folder / "config.json"
    check_native(described, FAMILIES, where)
    config = config_of(described["family"], described["config"], where)
    _check_layers(config, view.whole)
    table = Table(tuple(Row(name, name) for name in view.tensors))
    return Plan(described["family"], "keras", config, table, view=view)


def _foreign(checkpoint, ignore, *known):
    """The plan of the first view whose names a layout has."""
    failures, view = [], None
    for view in views(checkpoint, ignore):
        try:
            return _planned(view, *known)
        except CheckpointError as error:
            failures.append(error)
    # What a layout says that knows the names tells more than that others do not.
    for error in reversed(failures):
        if not isinstance(error, (MissingTensorError, UnknownLayoutError)):
            raise error
    incomplete = [error for error in failures if isinstance(error, MissingTensorError)]
    cut = ""
    if view.prefix and not incomplete:
        cut = f" Nor is it without the prefix {view.prefix!r}: {grouped(view.tensors)}."
    raise UnknownLayoutError(f"{(incomplete or failures[:1])[-1]}{cut} {_ADVICE}")


def _dialect(view, described, family):
    try:
        return find_dialect(view.tensors, described, family)
    except UnknownLayoutError:
        # Then what is left out is missing in a layout that is known.
        return find_dialect(view.whole, described, family)


def _planned(view, entry, described, preprocessor, family):
    tensors, path = view.tensors, view.tensors.path
    if entry:
        name, dialect = entry["table"], DIALECTS[entry["table"]]
        config = config_of(entry["family"], _with_labels(entry, described), entry["source"])
    else:
        name, dialect = _dialect(view, described, family)
        if name == "timm" and family:
            described = {"architecture": family, **(described or {})}
        if name == "openai" and path.name.startswith("open_clip"):
            raise CheckpointError(
                f"{path}: no open_clip_config.json is beside it, which says what its "
                "tensors do not, such as the activation: give it, as config=path."
            )
        values = dialect.config_from(view.whole, described, preprocessor)
        config = config_of(dialect.FAMILY, values, path)
    _check_layers(config, view.whole)
    table = dialect.table(config.to_dict(), view.whole)
    if not any(row.source in tensors for row in table.rows):
        raise UnknownLayoutError(
            f"{path}: it does not fit its configuration, which is of the layout {name}: its names "
            f"are {grouped(tensors)}, none as {table.rows[0].source!r}."
        )
    return Plan(dialect.FAMILY, name, config, table, view=view)


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


def config_of(family, values, where):
    """Return the configuration of a model of a family; errors name `where` its values stand."""
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
        layout: a key of DIALECTS, or `keras` for this package's own.
        stored: configuration of the checkpoint.
        table: Table from its tensors to the weights.
        wanted: configuration of the model, or None: as stored.
        view: View of the checkpoint, with the names of the table; None where there is none.
    """

    family: str
    layout: str
    stored: Config
    table: Table
    wanted: Config | None = None
    view: View | None = None

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
        table = self.table.inside(f"{tower}/")
        return Plan(TOWERS[tower], self.layout, stored, table, wanted, self.view)

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
