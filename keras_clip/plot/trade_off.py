"""What fine-tuning gains on a task against what it loses elsewhere."""

import numpy as np

from keras_clip.plot.style import EDGE, FAINT, INK, RIGHT, SIZE, axes_at, new_figure, plain, write


def wise_ft(sweep, task="task", elsewhere="elsewhere"):
    """Draw a sweep from the zero-shot to the fine-tuned weights as a curve: a matplotlib Figure.

    Accuracy on the task goes up, zero-shot accuracy elsewhere to the right; each point is a share
    of the fine-tuned weights, and the best one is marked.

    Args:
        sweep: what `keras_clip.finetune.sweep` gives: `alphas`, `scores` {name: values, shares from
            0 to 1} and `best`.
        task, elsewhere: names of the two scores.

    Raises:
        ValueError: there is no such score.
        ImportError: matplotlib is not installed.

    Reference: "Robust fine-tuning of zero-shot models" (arXiv 2109.01903), figure 1.
    """
    missing = [name for name in (task, elsewhere) if name not in sweep.scores]
    if missing:
        raise ValueError(f"The sweep has no score {missing[0]!r}; it has {list(sweep.scores)}.")
    x, y = (100 * np.asarray(sweep.scores[name]) for name in (elsewhere, task))
    order = np.argsort(sweep.alphas)
    figure = new_figure(5.2, 4.3)
    axes = plain(axes_at(figure, 0.75, 0.5, 4.2, 3.2))
    axes.plot(x[order], y[order], color=RIGHT, linewidth=1.6, marker="o", markersize=4.5)
    for place, name, side in ((order[0], "zero-shot", -1), (order[-1], "fine-tuned", 1)):
        _note(axes, x[place], y[place], f"{name} ({sweep.alphas[place]:g})", FAINT, side)
    best = sweep.alphas.index(sweep.best)
    axes.plot(x[best], y[best], "o", color=INK, markersize=9, fillstyle="none", markeredgewidth=1.6)
    if best not in (order[0], order[-1]):
        _note(axes, x[best], y[best], f"{sweep.best:g}", INK, 1)
    style = {"transform": axes.transAxes, "va": "bottom"}
    write(axes, 0, 1.05, "WiSE-FT", fontweight="bold", fontsize=SIZE + 1, **style)
    summary = f"best at {sweep.best:g}: {y[best]:.1f} % and {x[best]:.1f} %"
    write(axes, 1, 1.05, summary, ha="right", color=FAINT, **style)
    axes.margins(0.18, 0.12)
    axes.spines["bottom"].set_color(EDGE)
    axes.set_xlabel(f"zero-shot accuracy, {elsewhere}, %", fontsize=SIZE, color=INK)
    axes.set_ylabel(f"accuracy, {task}, %", fontsize=SIZE, color=INK)
    return figure


def _note(axes, x, y, text, colour, side):
    """A text above a point, or below it where the side is -1."""
    va = "bottom" if side > 0 else "top"
    style = {"fontsize": SIZE, "color": colour, "ha": "center", "va": va}
    axes.annotate(text, (x, y), (0, 8 * side), textcoords="offset points", **style)
