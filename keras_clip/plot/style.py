"""What every plot here has in common: colours, figures, axes, text."""

import numpy as np

INK, FAINT, EDGE, TRACK = "#1f2933", "#8895a3", "#d9e0e7", "#eef2f6"
RIGHT, WRONG, OTHER = "#2f9e62", "#d1495b", "#b9c7d6"
SIZE = 8.5  # points
DPI = 96  # small enough a file for a README
_GREENS = ("#f6f9fb", "#d5eadd", "#8cc9a4", RIGHT, "#1c6b41")
_REDS = ("#ffffff", "#f7d9dd", "#e792a0", WRONG, "#9b2536")


def new_figure(width, height):
    """A figure of a size in inches, without pyplot, which would choose a window system.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            'Plots need matplotlib: pip install "keras-clip[plot]", or leave --plot out.'
        ) from error
    return Figure(figsize=(width, height), dpi=DPI, facecolor="white")


def axes_at(figure, left, top, width, height):
    """Axes at a place in inches, counted from the figure's top left corner."""
    across, down = figure.get_size_inches()
    return figure.add_axes(
        (left / across, (down - top - height) / down, width / across, height / down)
    )


def write(axes, x, y, text, **style):
    """Text as it is: a dollar sign begins no formula. In data units, the text's left end at x."""
    style = {"fontsize": SIZE, "color": INK, "va": "center", **style}
    return axes.text(x, y, text, parse_math=False, **style)


def bare(axes):
    """Axes without ticks, numbers or a frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return axes


def plain(axes):
    """Axes of a curve: a faint grid and a line below."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(EDGE)
    axes.grid(color=TRACK, linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=SIZE, labelcolor=FAINT)
    return axes


def greens():
    """Colours from next to nothing to much."""
    return _colormap("greens", _GREENS)


def reds():
    """The same for what is wrong."""
    return _colormap("reds", _REDS)


def ink_on(map_of_colours, share):
    """The colour in which text can be read on a colour of a map, at a share from 0 to 1."""
    red, green, blue, _ = map_of_colours(float(np.clip(share, 0, 1)))
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.6 else INK


def wide(text, size=SIZE):
    """Inches that a text takes: about so many, from the width of an average letter."""
    return 0.0078 * size * len(text)


def shortened(text, most):
    """At most so many characters, an ellipsis where some are left out."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _colormap(name, colours):
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(f"keras_clip_{name}", colours)
