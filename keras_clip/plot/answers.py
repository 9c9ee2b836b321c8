"""Pictures of results, drawn by matplotlib: zero-shot bars, and which text fits which picture."""

import os
from pathlib import Path

INK, FAINT = "#1f2933", "#8895a3"
RIGHT, WRONG, OTHER = "#2f9e62", "#d1495b", "#b9c7d6"
_DPI = 96  # small enough a file for a README
TRACK = "#eef2f6"
_ROW = 0.30  # inches for one answer
_EDGE = "#d9e0e7"


def zero_shot_bars(results, path, truths=None, columns=None):
    """Draw pictures with their answers as bars, a grid of them, into a PNG, PDF or SVG file.

    Args:
        results: list of {"image": path, "answers": [{"label", "probability"}]}, best first.
        path: file to write; its suffix says the kind.
        truths: list of the right labels: they are green, a wrong first answer is red.
        columns: pictures side by side; None: up to three.

    Raises:
        ImportError: matplotlib is not installed.
    """
    figure_class, _ = _matplotlib()
    columns = columns or min(3, len(results))
    rows = -(-len(results) // columns)
    high = max(len(result["answers"]) for result in results)
    cell = max(1.25, _ROW * high)
    figure = figure_class(figsize=(columns * (cell + 2.75), rows * (cell + 0.3)), dpi=_DPI)
    margin = 0.15 / (rows * (cell + 0.3))
    grid = figure.add_gridspec(
        rows, 2 * columns, width_ratios=[cell, 2.45] * columns,
        left=0.01, right=0.985, bottom=margin, top=1 - margin,
        wspace=0.06, hspace=0.3 / cell,
    )  # fmt: skip
    for number, result in enumerate(results):
        row, column = divmod(number, columns)
        _picture(figure.add_subplot(grid[row, 2 * column]), result["image"])
        truth = truths[number] if truths else None
        _bars(figure.add_subplot(grid[row, 2 * column + 1]), result["answers"], truth, high)
    _save(figure, path)


def similarity_grid(images, texts, cosines, path):
    """Draw cosines of pictures (columns) and texts (rows) as a grid, the pictures on top.

    Args:
        images: list of n paths.
        texts: list of m str.
        cosines: (n, m) array.
        path: file to write.

    Raises:
        ImportError: matplotlib is not installed.
    """
    figure_class, _ = _matplotlib()
    size, left = 0.62, 4.3
    width, height = left + size * len(images) + 0.1, size * 1.12 + size * 0.62 * len(texts) + 0.1
    figure = figure_class(figsize=(width, height), dpi=_DPI)
    box = (
        left / width,
        0.05 / height,
        size * len(images) / width,
        size * 0.62 * len(texts) / height,
    )
    axes = figure.add_axes(box)
    axes.imshow(cosines.T, cmap="Greens", aspect="auto")
    axes.set_yticks(range(len(texts)), texts, fontsize=8.5, color=INK)
    axes.set_xticks([])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    middle = (cosines.max() + cosines.min()) / 2
    for column in range(len(images)):
        for row in range(len(texts)):
            value = cosines[column, row]
            colour = "white" if value > middle else INK
            axes.text(
                column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour
            )
        corner = (left + size * (column + 0.06)) / width, (height - size * 0.97) / height
        spot = figure.add_axes((*corner, size * 0.88 / width, size * 0.88 / height))
        _picture(spot, images[column])
    _save(figure, path)


def _picture(axes, path):
    from PIL import Image

    with Image.open(path) as opened:
        axes.imshow(opened.convert("RGB"), interpolation="antialiased")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(_EDGE)


def _bars(axes, answers, truth, high):
    for number, answer in enumerate(answers):
        right = truth is not None and answer["label"] == truth
        wrong = truth is not None and not number and not right
        colour = RIGHT if right or (truth is None and not number) else WRONG if wrong else OTHER
        axes.barh(number, 1, height=0.34, color=TRACK, align="edge")
        axes.barh(number, answer["probability"], height=0.34, color=colour, align="edge")
        weight = "bold" if not number else "normal"
        style = {"fontsize": 8.5, "color": INK, "fontweight": weight, "va": "bottom"}
        axes.text(0, number - 0.06, answer["label"], **style)
        share = f"{100 * answer['probability']:.1f} %"
        axes.text(1, number - 0.06, share, ha="right", **{**style, "color": FAINT})
    axes.set_xlim(0, 1)
    axes.set_ylim(high - 0.45, -0.6)
    axes.axis("off")


def _matplotlib():
    """The class of figures, without pyplot, which would choose a window system."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            'Plots need matplotlib: pip install "keras-clip[plot]", or leave --plot out.'
        ) from error
    return Figure, matplotlib


def _save(figure, path):
    """Write the figure, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix or '.png'}")
    try:
        figure.savefig(part, facecolor="white")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
