"""What `keras-clip probe` takes."""

import argparse

from keras_clip.command.column_arguments import SOURCE, add_columns
from keras_clip.command.parser import PRESET, PRESET_HELP, add_command, count

_SOURCE = f"a folder with one subfolder a class, {SOURCE}"


def add(commands, runs):
    """Add the command."""
    command = add_command(
        commands, runs, "probe", "measure how well a model's features tell classes apart",
        "keras-clip probe train/ test/                     the CLIP paper's linear probe",
        "keras-clip probe train/ test/ --save head.keras   keep it as a Keras classifier",
        "keras-clip probe train.csv test.csv --knn 20 --json",
        "keras-clip probe train/ test/ --shots 1 2 4 8 16",
    )  # fmt: skip
    command.add_argument("train", metavar="TRAIN", help=f"labelled pictures: {_SOURCE}")
    command.add_argument("test", metavar="TEST", help="pictures of the same classes")
    command.add_argument("--preset", default=PRESET, help=PRESET_HELP)
    add_columns(command)
    way = command.add_mutually_exclusive_group()
    way.add_argument("--knn", type=count, metavar="K", help="votes of the K nearest instead")
    way.add_argument(
        "--shots", type=count, nargs="+", metavar="N", help="accuracy from N examples a class"
    )
    way.add_argument(
        "--save", type=_keras, metavar="FILE", help="the .keras file for model and head"
    )


def _keras(text):
    if not text.endswith(".keras"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end with .keras")
    return text
