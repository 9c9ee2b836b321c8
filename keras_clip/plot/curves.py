"""Curves of accuracy: calibration, a probe's regularisation, few examples."""

import numpy as np

from keras_clip.plot.style import (
    EDGE,
    FAINT,
    INK,
    OTHER,
    RIGHT,
    SIZE,
    WRONG,
    axes_at,
    new_figure,
    plain,
    write,
)

_SIZE, _EDGE = 2.9, 0.15  # inches


def reliability(curves):
    """Draw how often answers of a confidence are right, a panel a curve: a matplotlib Figure.

    On the diagonal a model is as often right as it says. Bars below it are red: too sure.

    Args:
        curves: {title: what `keras_clip.evaluate.reliability` gives}: dictionaries of (bins,)
            arrays, `confidence` and `accuracy`, shares from 0 to 1, and `count`. Bins without a
            count are left out.

    Raises:
        ValueError: no curve, or arrays of different lengths.
        ImportError: matplotlib is not installed.

    Reference: "On Calibration of Modern Neural Networks" (arXiv 1706.04599), section 2.
    """
    if not curves:
        raise ValueError("There is nothing to draw: no curves.")
    step = _SIZE + 0.75
    figure = new_figure(len(curves) * step + _EDGE, _SIZE + 1.25)
    for number, (title, found) in enumerate(curves.items()):
        parts = [np.asarray(found[key], "float64") for key in ("confidence", "accuracy", "count")]
        if not parts[0].shape == parts[1].shape == parts[2].shape:
            raise ValueError(f"{title}: the three arrays are not of one length.")
        parts = [part[parts[2] > 0] for part in parts]
        axes = axes_at(figure, 0.65 + number * step, 0.6, _SIZE, _SIZE)
        _calibration(plain(axes), *parts)
        _head(axes, title, f"error {_calibration_error(*parts):.3f}")
        _labels(axes, "confidence", "accuracy" if not number else None)
    return figure


def probe_sweep(sweep, chosen=None):
    """Draw a linear probe's accuracy over its regularisation: a matplotlib Figure.

    Args:
        sweep: {C: validation accuracy, a share from 0 to 1}, as of `evaluate.linear_probe`.
        chosen: float or None. The C that was taken, which is marked.

    Raises:
        ValueError: the sweep is empty.
        ImportError: matplotlib is not installed.
    """
    if not sweep:
        raise ValueError("There is nothing to draw: the sweep is empty.")
    costs = np.array(list(sweep), "float64")
    accuracies = np.array(list(sweep.values()), "float64")
    order = np.argsort(costs)
    axes = _wide_axes(5.2)
    axes.set_xscale("log")
    style = {"color": RIGHT, "linewidth": 1.6, "marker": "o", "markersize": 4.5}
    axes.plot(costs[order], 100 * accuracies[order], **style)
    note = ""
    if chosen is not None:
        axes.axvline(chosen, color=OTHER, linewidth=1, linestyle=(0, (3, 3)))
        note = f"C = {chosen:.3g}: {100 * accuracies[np.argmin(abs(costs - chosen))]:.1f} %"
    _head(axes, "linear probe", note)
    _labels(axes, "C (less regularisation to the right)", "accuracy, %")
    return axes.figure


def few_shot(curves, baseline=None):
    """Draw accuracy over the number of examples a class, with its deviation: a Figure.

    Args:
        curves: {name: FewShot of `evaluate.few_shot`}: each has `shots`, `mean` and `deviation`,
            shares from 0 to 1.
        baseline: float or None. Accuracy without any example, a dashed line.

    Raises:
        ValueError: no curve.
        ImportError: matplotlib is not installed.
    """
    if not curves:
        raise ValueError("There is nothing to draw: no curves.")
    shots = np.unique(np.concatenate([found.shots for found in curves.values()]))
    axes = _wide_axes(4.6)
    axes.set_xscale("log", base=2)
    axes.set_xticks(shots, [str(number) for number in shots])
    axes.minorticks_off()
    for (name, found), colour in zip(curves.items(), _colours(curves), strict=True):
        mean, spread = (100 * np.asarray(part) for part in (found.mean, found.deviation))
        axes.plot(found.shots, mean, color=colour, linewidth=1.6, marker="o", markersize=4.5)
        axes.fill_between(
            found.shots, mean - spread, mean + spread, color=colour, alpha=0.15, linewidth=0
        )
        write(axes, found.shots[-1] * 1.06, mean[-1], name, color=colour, fontweight="bold")
    if baseline is not None:
        axes.axhline(100 * baseline, color=FAINT, linewidth=1, linestyle=(0, (3, 3)))
        write(axes, shots[0], 100 * baseline, "zero-shot", color=FAINT, va="bottom")
    _head(axes, "few examples", "")
    _labels(axes, "examples a class", "accuracy, %")
    return axes.figure


def _calibration(axes, confidence, accuracy, count):
    share = count / max(count.sum(), 1)
    axes.plot([0, 1], [0, 1], color=OTHER, linewidth=1, linestyle=(0, (3, 3)))
    axes.vlines(
        confidence, accuracy, confidence, linewidth=2.5,
        color=[RIGHT if a >= c else WRONG for a, c in zip(accuracy, confidence, strict=True)],
        alpha=0.35,
    )  # fmt: skip
    axes.scatter(confidence, accuracy, 18 + 240 * share, color=INK, linewidth=0, zorder=3)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)


def _calibration_error(confidence, accuracy, count):
    return float(np.sum(count * np.abs(accuracy - confidence)) / max(count.sum(), 1))


def _wide_axes(width):
    figure = new_figure(6.2, 3.3)
    return plain(axes_at(figure, 0.7, 0.5, width, 2.2))


def _colours(curves):
    return [(RIGHT, INK, FAINT, WRONG)[number % 4] for number in range(len(curves))]


def _head(axes, title, note):
    style = {"transform": axes.transAxes, "va": "bottom"}
    write(axes, 0, 1.05, title, fontweight="bold", fontsize=SIZE + 1, **style)
    write(axes, 1, 1.05, note, ha="right", color=FAINT, **style)


def _labels(axes, below, beside):
    axes.spines["bottom"].set_color(EDGE)
    axes.set_xlabel(below, fontsize=SIZE, color=INK)
    axes.set_ylabel(beside or "", fontsize=SIZE, color=INK)
