"""Zero-shot answers as bars beside their pictures."""

from keras_clip.plot.style import (
    FAINT,
    INK,
    OTHER,
    RIGHT,
    SIZE,
    TRACK,
    WRONG,
    axes_at,
    bare,
    new_figure,
    shortened,
    write,
)
from keras_clip.plot.thumbnails import pixels_of, show

_ROW, _BARS, _GAP, _EDGE = 0.40, 2.45, 0.1, 0.12  # inches
_LONGEST = 30  # characters of a label


def zero_shot_bars(results, truths=None, columns=None):
    """Draw pictures with their answers as bars, a grid of them: a matplotlib Figure.

    Args:
        results: list of {"image": path, bytes or PIL picture, "answers": [{"label",
            "probability"}]}, best first.
        truths: list of the right labels: they are green, a wrong first answer is red.
        columns: pictures side by side; None: up to three.

    Raises:
        ValueError: there is no result.
        ImportError: matplotlib is not installed.
    """
    if not results:
        raise ValueError("There is nothing to draw: no results.")
    columns = columns or min(3, len(results))
    high = max(len(result["answers"]) for result in results)
    cell = max(1.25, _ROW * high)
    width, height = cell + _BARS + 2.5 * _GAP, cell + 3 * _GAP
    rows = -(-len(results) // columns)
    figure = new_figure(columns * width + _EDGE, rows * height - 3 * _GAP + 2 * _EDGE)
    for number, result in enumerate(results):
        row, column = divmod(number, columns)
        left, top = _EDGE + column * width, _EDGE + row * height
        show(axes_at(figure, left, top, cell, cell), pixels_of(result["image"], 512))
        truth = truths[number] if truths else None
        beside = axes_at(figure, left + cell + _GAP, top, _BARS, cell)
        _bars(beside, result["answers"], truth, high)
    return figure


def _bars(axes, answers, truth, high):
    bare(axes)
    axes.set_xlim(0, 1)
    axes.set_ylim(high - 0.02, 0)
    for number, answer in enumerate(answers):
        share = answer["probability"]
        style = {"height": 0.34, "align": "edge"}
        axes.barh(number + 0.5, 1, color=TRACK, **style)
        axes.barh(number + 0.5, share, color=_colour(answer, truth, number), **style)
        weight = "normal" if number else "bold"
        text = shortened(answer["label"], _LONGEST)
        write(axes, 0, number + 0.25, text, fontweight=weight, color=INK, fontsize=SIZE)
        number_style = {"ha": "right", "color": FAINT, "fontweight": weight}
        write(axes, 1, number + 0.25, f"{100 * share:.1f} %", **number_style)


def _colour(answer, truth, number):
    if truth is None:
        return OTHER if number else RIGHT
    if answer["label"] == truth:
        return RIGHT
    return OTHER if number else WRONG
