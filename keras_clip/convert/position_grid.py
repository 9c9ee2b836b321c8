"""How many patches down and across a table of positions is for: its rows alone do not tell."""

import math

from keras_clip.convert.errors import CheckpointError

_ADVICE = (
    "Give the file's own size in pixels, as image_size=(height, width); saved from there, it can "
    "be loaded for another."
)


def position_grid(path, name, rows, before, cell, sizes=()):
    """Find the grid of a table of positions: ((height, width) in cells, rows before them).

    A size that fits the rows exactly is the size of the file. Where none does, the grid is square,
    unless the file may as well be of another shape with a position for its class token.

    Args:
        path: of the checkpoint, for messages.
        name: str. The table's name, for messages.
        rows: int. Positions in the table.
        before: tuple of int. How many of them the class token and others may have: all of these
            tokens, or none.
        cell: (height, width) of a cell in pixels.
        sizes: (height, width) in pixels, or None among them: what the configuration states, and
            what the user asks for, in this order.

    Raises:
        CheckpointError: no grid fits, or more than one.
    """
    for size in sizes:
        grid = tuple(side // width for side, width in zip(size or (0, 0), cell, strict=True))
        for count in before:
            if rows - count == math.prod(grid) > 0:
                return grid, count
    side = {count: math.isqrt(max(rows - count, 0)) for count in before}
    squares = [count for count in before if side[count] and side[count] ** 2 == rows - count]
    tried = f"neither {', '.join(str(size) for size in sizes if size) or 'a stated size'} nor "
    if not squares:
        tokens = " or ".join(str(count) for count in before)
        raise CheckpointError(
            f"{path}: '{name}' has {rows} rows, which fit {tried}a square grid, with {tokens} of "
            f"them before the patches. {_ADVICE}"
        )
    (count,) = squares  # two squares are never 1 or 2 apart
    if count < max(before):
        raise CheckpointError(
            f"{path}: '{name}' has {rows} rows, which fit a square without a position of the class "
            f"token and other shapes with one, but {tried}a name of timm's that settles it. "
            f"{_ADVICE}"
        )
    return (side[count], side[count]), count
