"""Tables, bars and small pictures on a terminal, by rich, which Keras brings."""

import os

_EIGHTHS = " ▏▎▍▌▋▊▉"
_FULL = "█"
_HALF = "▀"
_WIDTH_OF_FILES = 130  # columns where the output is no terminal and has no width of its own


def console():
    """Where results go: standard output."""
    from rich.console import Console

    known = Console()
    narrow = known.is_terminal or "COLUMNS" in os.environ
    return known if narrow else Console(width=_WIDTH_OF_FILES)


def table(*columns, title=None):
    """A table without vertical rules; columns that begin with `>` are aligned to the right."""
    from rich import box
    from rich.table import Table

    made = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left", title_style="bold"
    )
    for name in columns:
        right = name.startswith(">")
        made.add_column(name.lstrip(">"), justify="right" if right else "left", overflow="fold")
    made.columns[0].no_wrap = True
    return made


def escape(text):
    """Text as it is, where rich would take square brackets for its markup."""
    from rich.markup import escape as rich_escape

    return rich_escape(str(text))


def bar(share, width=16):
    """A bar of block characters for a share from 0 to 1."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    text = _FULL * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
    return text.ljust(width)


def percent(share):
    """0.0371 -> `  3.7 %`."""
    return f"{100 * share:5.1f} %"


def thumbnail(path, columns=12):
    """A picture as coloured half blocks, `columns` wide and half as many lines high.

    Args:
        path: a picture that Pillow can read.
        columns: width in characters, even.
    """
    from PIL import Image
    from rich.text import Text

    with Image.open(path) as opened:
        small = opened.convert("RGB").resize((columns, columns), Image.Resampling.BOX)
    text = Text()
    for row in range(0, columns, 2):
        for column in range(columns):
            upper, lower = (small.getpixel((column, row + k)) for k in (0, 1))
            text.append(_HALF, f"rgb({_rgb(upper)}) on rgb({_rgb(lower)})")
        text.append("\n" if row + 2 < columns else "")
    return text


def _rgb(pixel):
    return ",".join(str(value) for value in pixel)
