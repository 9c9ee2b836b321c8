"""`keras-clip index`: a folder of pictures into a directory that `keras-clip search` asks."""

import os

from keras_clip.command import terminal
from keras_clip.command.parser import PRESET
from keras_clip.command.terminal import escape
from keras_clip.data import open_pictures
from keras_clip.models.batching import run_batch
from keras_clip.models.clip import require_clip
from keras_clip.presets import from_preset
from keras_clip.search import Changes, Description, Index

_SHOWN = 10  # broken pictures in the table


def index(source, directory, preset=None, batch_size=32, dry_run=False, columns=None):
    """Make an index of pictures, or bring one up to date.

    Args:
        source: whatever `open_pictures` takes.
        directory: path of the index.
        preset: whatever `from_preset` takes; None: the model that the index was made with, and
            for a new one the usual preset.
        batch_size: pictures a step.
        dry_run: True: compare only, without a model.
        columns: as of `open_pictures`.

    Returns:
        Dictionary: `index`, `model`, numbers of pictures `added`, `changed`, `removed`,
        `unchanged` and in the index (`pictures`), and `broken`, a list of `path` and `reason`.

    Raises:
        SearchError: another model or folder than the index's, a damaged index, a full disk.
    """
    pictures = open_pictures(source, columns)
    known = Index.open(directory) if Index.exists(directory) else None
    if dry_run:
        changes = known.changes(pictures) if known else Changes(added=list(range(len(pictures))))
        name = known.description.model if known else named(preset or PRESET)
        return _result(directory, name, changes)
    known, vision = _opened(directory, known, preset)
    changes = known.update(
        pictures,
        vision.image_processor,
        lambda pixels: run_batch(vision, pixels, batch_size),
        batch_size,
    )
    return _result(directory, known.description.model, changes)


def _opened(directory, known, preset):
    """The index, new where there is none, and the image tower."""
    if known:
        name = named(preset) if preset else known.description.model
        vision = from_preset(name, tower="vision")
        known.description.check(Description.of(name, vision=vision), directory)
        return known, vision
    name = named(preset or PRESET)
    clip = require_clip(from_preset(name), name)
    towers = {tower: clip.get_layer(tower) for tower in ("vision", "text")}
    return Index.create(directory, Description.of(name, **towers)), towers["vision"]


def named(preset):
    """The name of a model wherever the command is run: paths become absolute."""
    bare = os.sep not in preset and not preset.startswith(".")
    return preset if bare or not os.path.exists(preset) else os.path.abspath(preset)


def _result(directory, model, changes):
    return {
        "index": str(directory),
        "model": model,
        "added": len(changes.added),
        "changed": len(changes.changed),
        "removed": len(changes.removed),
        "unchanged": changes.unchanged,
        "pictures": changes.total,
        "broken": [{"path": path, "reason": reason} for path, reason in changes.broken],
    }


def show_indexed(result, dry_run=False):
    """Print how many pictures came, changed and went, and which are broken."""
    console = terminal.console()
    counts = ", ".join(
        f"{result[key]:,} {key}" for key in ("added", "changed", "removed", "unchanged")
    )
    state = "nothing written" if dry_run else f"{result['pictures']:,} pictures to search"
    console.print(f"[bold]{escape(result['index'])}[/bold]: {counts}; {state}")
    broken = result["broken"]
    if not broken:
        return
    table = terminal.table("broken picture", "reason")
    for entry in broken[:_SHOWN]:
        table.add_row(escape(entry["path"]), escape(entry["reason"]))
    console.print(table)
    if len(broken) > _SHOWN:
        console.print(f"and {len(broken) - _SHOWN:,} more; --json lists all")
