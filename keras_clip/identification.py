"""What a checkpoint holds: its layout, its configuration, and the table that fills a model."""

from keras_clip.convert import CheckpointError
from keras_clip.convert.dialects import DIALECTS, find_dialect
from keras_clip.convert.dialects import FAMILIES as DIALECT_FAMILIES
from keras_clip.convert.errors import DAMAGE, MissingTensorError, UnknownLayoutError
from keras_clip.convert.folding import grouped
from keras_clip.convert.table import Row, Table
from keras_clip.convert.torch_file import NOTE
from keras_clip.convert.views import views
from keras_clip.filling import FAMILIES, Plan
from keras_clip.models.preset_description import (
    check_native,
    is_native,
    read_description,
    stored_state,
)

_ADVICE = (
    "A prefix is cut where all names have it; tensors beside the model are left out by "
    "ignore='pattern', and load_weights='start' reads those whose names begin so."
)
_MOST_LAYERS = 200  # beyond them, a file has to show that it has so many


def identify(checkpoint, source, config=None, family=None, ignore=(), image_size=None):
    """Return the Plan of a checkpoint, from what stands beside it and its own names.

    Args:
        checkpoint: as `open_checkpoint` returns it.
        source: Source, of which it is the file.
        config, family, ignore: as of `from_preset`.
        image_size: (height, width) in pixels that the model shall have, or None: where it fits the
            positions of a file that does not say its own size, it is the file's.

    Raises:
        CheckpointError: its layout is not known, or its configuration is damaged.
    """
    _check_family(family)
    try:
        source = source.owned(checkpoint)
        note = checkpoint.metadata.get(NOTE)
        described, preprocessor = read_description(source.folder, config, note)
        if is_native(described):
            return _native(next(views(checkpoint, ignore)), described, source.folder)
        known = (source.entry, described, preprocessor, family, image_size)
        plan = _foreign(checkpoint, ignore, *known)
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
    frozen = stored_state(described, where)
    return Plan(described["family"], "keras", config, table, view=view, frozen=frozen)


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


def _planned(view, entry, described, preprocessor, family, image_size):
    tensors, path = view.tensors, view.tensors.path
    if entry:
        name, dialect = entry["table"], DIALECTS[entry["table"]]
        config = config_of(entry["family"], _with_labels(entry, described), entry["source"])
    else:
        name, dialect = _dialect(view, described, family)
        if name == "timm" and family:
            described = {"architecture": family, **(described or {})}
        values = dialect.config_from(view.whole, described, preprocessor, image_size)
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
