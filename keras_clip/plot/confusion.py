"""What is taken for what: a matrix of counts, and the commonest mistakes beside it."""

import numpy as np

from keras_clip.plot.style import (
    EDGE,
    FAINT,
    INK,
    SIZE,
    axes_at,
    bare,
    greens,
    ink_on,
    new_figure,
    reds,
    shortened,
    wide,
    write,
)

_EDGE, _SIDE = 0.15, 2.9  # inches, as all sizes here
_LARGEST, _LARGEST_CELL, _LINE = 6.4, 0.5, 0.22
_MISTAKES = 12
_NAME = 22  # characters


def confusion_matrix(matrix, class_names, title=None):
    """Draw counts, the truth across a row and the answers down a column: a Figure.

    The colour is by the share of a row: what is right is green, what is wrong is red. The
    commonest mistakes are listed beside it, which is how a matrix of 100 classes is read.

    Args:
        matrix: (K, K) counts; row i holds what was said of pictures of class i.
        class_names: list of K str.
        title: str or None; None: the share of right answers.

    Raises:
        ValueError: the sizes do not agree.
        ImportError: matplotlib is not installed.
    """
    matrix = np.asarray(matrix)
    if matrix.shape != (len(class_names),) * 2 or not matrix.size:
        raise ValueError(
            f"The matrix has the shape {matrix.shape}, but there are {len(class_names)} classes."
        )
    count = len(matrix)
    names = [shortened(name, _NAME) for name in _without_common_start(class_names)]
    cell = min(_LARGEST_CELL, _LARGEST / count)
    beside, size, head = wide(max(names, key=len)) + 0.1, cell * count, 0.42
    body = max(size + beside, _LINE * (1 + min(_MISTAKES, np.count_nonzero(_wrong(matrix)))))
    figure = new_figure(_EDGE + beside + size + 0.35 + _SIDE + _EDGE, head + body + 2 * _EDGE)
    above = bare(axes_at(figure, _EDGE, _EDGE, beside + size + _SIDE, head))
    total, right = int(matrix.sum()), int(np.trace(matrix))
    said = f"{100 * right / max(total, 1):.1f} % of {total:,} are right"
    write(above, 0, 0.72, title or said, fontsize=SIZE + 1.5, fontweight="bold")
    top = _EDGE + head
    axes = axes_at(figure, _EDGE + beside, top, size, size)
    _cells(axes, matrix, cell)
    _names(axes, names, cell)
    _mistakes(axes_at(figure, _EDGE + beside + size + 0.35, top, _SIDE, body), matrix, names)
    return figure


def _cells(axes, matrix, cell):
    # The square root makes rare mistakes visible.
    shares = np.sqrt(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1))
    right = np.eye(len(matrix), dtype=bool)
    for mask, colours in ((right, greens()), (~right, reds())):
        axes.imshow(np.ma.masked_where(~mask, shares), cmap=colours, vmin=0, vmax=1, aspect="auto")
    axes.tick_params(length=0)
    axes.spines[:].set_color(EDGE)
    if cell < 0.3:
        return
    for row, column in zip(*np.nonzero(matrix), strict=True):
        colour = ink_on(greens() if row == column else reds(), shares[row, column])
        text = f"{matrix[row, column]:,}"
        write(axes, column, row, text, ha="center", color=colour, fontsize=SIZE - 0.5)


def _names(axes, names, cell):
    """Names on both sides; where they would run into one another, every so many-th."""
    step = int(np.ceil(0.14 / cell))
    places = range(0, len(names), step)
    shown = [names[place] for place in places]
    style = {"fontsize": SIZE if cell >= 0.16 else SIZE - 1.5, "parse_math": False, "color": INK}
    axes.set_yticks(places, shown, **style)
    axes.set_xticks(places, shown, rotation=90, **style)


def _mistakes(axes, matrix, names):
    bare(axes)
    axes.set_xlim(0, 1)
    axes.set_ylim(axes.bbox.height / axes.figure.dpi / _LINE, 0)
    wrong = _wrong(matrix)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MISTAKES]
    pairs = [divmod(int(place), len(names)) for place in order if wrong.flat[place]]
    write(
        axes, 0, 0.4, "commonest mistakes, truth → answer" if pairs else "no mistake", color=FAINT
    )
    for line, (true, said) in enumerate(pairs, 1):
        text = f"{shortened(names[true], 16)} → {shortened(names[said], 16)}"
        write(axes, 0, line + 0.4, text)
        of = f"{wrong[true, said]:,} of {matrix[true].sum():,}"
        write(axes, 1, line + 0.4, of, ha="right", color=FAINT)


def _wrong(matrix):
    return np.where(np.eye(len(matrix), dtype=bool), 0, matrix)


def _without_common_start(names):
    """Names without the words with which all of them begin, such as `a handwritten`."""
    words = [str(name).split(" ") for name in names]
    common = 0
    while len(words) > 1 and all(len(parts) > common + 1 for parts in words):
        if len({parts[common] for parts in words}) > 1:
            break
        common += 1
    return [" ".join(parts[common:]) for parts in words]
