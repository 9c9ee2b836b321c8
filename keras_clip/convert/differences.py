"""What in a checkpoint differs from what a table reads: all of it, in one error."""

from fnmatch import fnmatchcase

from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.folding import folded

_MOST_LINES = 12  # of one kind; numbered layers share a line
# A number is stored as one by some, as a list of one by others.
_NUMBERS = ((), (1,))


def check(table, checkpoint, shapes):
    """Raise one CheckpointError that lists every difference, where there is one.

    Args:
        table: Table.
        checkpoint: mapping of names to tensors with `shape`; those of its `ignored`, where it has
            such names, have been left out of it.
        shapes: {target name: shape}, of the weights or of what the file holds in their place.
    """
    sources, ignored = {row.source for row in table.rows}, getattr(checkpoint, "ignored", ())
    found = [
        ("+", name, f"{tuple(checkpoint[name].shape)} in the file, unknown to the model")
        for name in checkpoint
        if name not in sources and not matches(name, table.ignore)
    ]
    filled = {row.target for row in table.rows}
    found += [("-", name, "no tensor fills it") for name in shapes if name not in filled]
    for row in table.rows:
        if row.target not in shapes:
            found.append(("+", row.source, f"for {row.target}, which the model does not have"))
            continue
        wanted = row.transform.file_shape(shapes[row.target])
        if row.source not in checkpoint:
            where = "left out by ignore" if row.source in ignored else "not in the file"
            found.append(("-", row.source, f"{where}, but the model needs it, {wanted}"))
            continue
        shape = tuple(checkpoint[row.source].shape)
        if shape != wanted and not (shape in _NUMBERS and wanted in _NUMBERS):
            found.append(("!", row.source, f"file {shape}, model {wanted}"))
    if found:  # rows that share a tensor tell the same of it
        found = list(dict.fromkeys(found))
        raise CheckpointError(message(checkpoint, found, "it does not fit its configuration"))


def message(checkpoint, found, what):
    """Return the text of the error.

    Args:
        checkpoint: what it is about, by its `path` where it has one.
        found: list of (mark, name, text), a difference each.
        what: what they mean.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    lines = []
    for mark in dict.fromkeys(mark for mark, *_ in found):
        alike = folded([(name, text, mark) for kind, name, text in found if kind == mark])
        lines += [f"{mark} {name}: {text}" for name, text, *_ in alike[:_MOST_LINES]]
        more = sum(count for *_, count in alike[_MOST_LINES:])
        lines += [f"{mark} and {more} more"] if more else []
    listed = "".join(f"\n  {line}" for line in lines)
    extra = any(mark == "+" for mark, *_ in found)
    advice = "\nWhat is no weight of the model is left out by ignore='pattern'." if extra else ""
    return f"{path}: {what} ({len(found)} wrong: + extra, - missing, ! shape):{listed}{advice}"


def matches(name, patterns):
    """Tell whether a name fits one of the patterns, in which `*` matches anything."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
