"""Names of tensors, the numbered layers of a model folded into one line."""

import itertools
import re

# A whole part of a name, or its end behind an underscore: `blocks.3.attn`, `encoderblock_3/mlp`.
_NUMBER = re.compile(r"(?<![^./_])([0-9]{1,6})(?![^./])")
# What names have in common where they lie in one model: `model.`, or all of a name without a dot.
FIRST_PART = re.compile(r"[^./]*[./]?")
_MOST_CHARACTERS = 100


def folded(tensors):
    """Fold tensors whose names differ in one number, and whose shapes and types do not.

    Args:
        tensors: list of (name, shape, dtype).

    Returns:
        List of (name, shape, dtype, count) in the order of the file; a folded name has its numbers
        in braces, `blocks.{0..11}.attn.qkv.weight`, and stands for every one of them.
    """
    lines = [(_NUMBER.split(name), shape, dtype, 1) for name, shape, dtype in tensors]
    deepest = max((len(line[0]) for line in lines), default=0)
    for place in range(1, deepest, 2):  # one number at a time: what is folded has no gaps
        groups = {}
        for parts, *rest in lines:
            blank = (*parts[:place], None, *parts[place + 1 :]) if place < len(parts) else parts
            groups.setdefault((tuple(blank), *rest), []).append(parts)
        lines = [
            (_merged(members, place), shape, dtype, count * len(members))
            for (_, shape, dtype, count), members in groups.items()
        ]
    return [("".join(parts), *rest) for parts, *rest in lines]


def listed(names, most=4):
    """Return names as text, folded and quoted; of more than `most`, how many follow."""
    lines = [name for name, *_ in folded([(name, (), "") for name in names])]
    return _cut([repr(_short(line)) for line in lines], most)


def grouped(names, most=4):
    """Return as text how many names begin alike, the most first: `150 'model.*', 'scale'`."""
    groups = {}
    for name in names:
        groups.setdefault(FIRST_PART.match(name)[0], []).append(name)
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    texts = [
        f"{len(found)} {_short(start) + '*'!r}" if found[1:] else repr(_short(found[0]))
        for start, found in ordered
    ]
    return _cut(texts, most) or "nothing"


def _short(name):
    return name if len(name) <= _MOST_CHARACTERS else f"{name[:_MOST_CHARACTERS]}..."


def _cut(texts, most):
    more = f" and {len(texts) - most} more" if texts[most:] else ""
    return ", ".join(texts[:most]) + more


def _merged(members, place):
    first = members[0]
    if len(members) == 1:
        return first
    return [*first[:place], "{" + ranges([m[place] for m in members]) + "}", *first[place + 1 :]]


def ranges(numbers):
    """["0", "1", "2", "7", "8"] -> `0..2,7,8`."""
    ordered = sorted(numbers, key=lambda text: (int(text), text))
    runs = itertools.groupby(enumerate(ordered), lambda pair: int(pair[1]) - pair[0])
    listed = []
    for _, run in runs:
        found = [text for _, text in run]
        listed += [f"{found[0]}..{found[-1]}"] if len(found) > 2 else found
    return ",".join(listed)
