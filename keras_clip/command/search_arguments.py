"""What `index`, `search` and `duplicates` take."""

import argparse

from keras_clip.command.column_arguments import SOURCE, add_columns
from keras_clip.command.parser import PRESET, SOURCE_HELP, add_command, count

_OWN = f"{SOURCE_HELP} (default: what the index was made with)"
_WHERE = (
    "only pictures of which this holds, in SQL; columns: path, size (bytes), modified, width, "
    "height, added"
)


def add(commands, runs):
    """Add the three commands to the parser."""
    _add_index(commands, runs)
    _add_search(commands, runs)
    _add_duplicates(commands, runs)


def _add_index(commands, runs):
    command = add_command(
        commands, runs, "index", "keep an index of pictures that texts and pictures find",
        "keras-clip index photos/ -o photos.index",
        "keras-clip index photos/ -o photos.index         again: only what is new or changed",
        "keras-clip index photos/ -o photos.index --dry-run",
    )  # fmt: skip
    command.add_argument("source", metavar="SOURCE", help=f"a folder with its folders, or {SOURCE}")
    command.add_argument("-o", "--output", required=True, metavar="INDEX", help="its directory")
    command.add_argument("--batch-size", type=count, default=32, help="(default: 32)")
    command.add_argument(
        "--dry-run", action="store_true", help="say what is new, changed and gone; load no model"
    )
    add_columns(command)
    default = f"what the index was made with; of a new one {PRESET}"
    command.add_argument("--preset", help=f"{SOURCE_HELP} (default: {default})")


def _add_search(commands, runs):
    command = add_command(
        commands, runs, "search", "find the pictures of an index that fit a text or a picture",
        'keras-clip search photos.index "a red circle"',
        'keras-clip search photos.index "a beach" --minus "people" --html beach.html',
        'keras-clip search photos.index "at night" --image street.jpg --weights 0.5,1',
        """keras-clip search photos.index "a dog" --where "path like '2024/%' and width > 800\"""",
    )  # fmt: skip
    command.add_argument("index", metavar="INDEX", help="the directory of an index")
    command.add_argument("texts", nargs="*", metavar="TEXT", help="what to look for")
    for flag, metavar, help in (
        ("--image", "FILE", "a picture to look for, alone or added to the text; may be repeated"),
        ("--minus", "TEXT", "what is not wanted, taken from the query; may be repeated"),
    ):
        command.add_argument(flag, action="append", default=[], metavar=metavar, help=help)
    command.add_argument(
        "--weights", type=_numbers, metavar="W,W",
        help="a number for each TEXT, --image and --minus, in this order (default: 1 each)",
    )  # fmt: skip
    command.add_argument("-k", type=count, default=12, help="how many pictures (default: 12)")
    command.add_argument("--where", metavar="SQL", help=_WHERE)
    command.add_argument("--plot", metavar="FILE", help="draw them, e.g. grid.png")
    command.add_argument("--html", metavar="FILE", help="write a page that needs no other file")
    command.add_argument("--preset", help=_OWN)


def _add_duplicates(commands, runs):
    command = add_command(
        commands, runs, "duplicates", "find pictures of an index that are nearly the same",
        "keras-clip duplicates photos.index --above 0.97",
        "keras-clip duplicates photos.index --json > duplicates.json",
    )  # fmt: skip
    command.add_argument("index", metavar="INDEX", help="the directory of an index")
    command.add_argument(
        "--above", type=float, default=0.97, metavar="COSINE",
        help="smallest cosine of a pair (default: 0.97)",
    )  # fmt: skip
    command.add_argument("--where", metavar="SQL", help=_WHERE)


def _numbers(text):
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers like 1,0.5") from error
