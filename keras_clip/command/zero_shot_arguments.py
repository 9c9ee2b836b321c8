"""What `classify` and `evaluate` take."""

import argparse

from keras_clip.command.column_arguments import SOURCE, add_columns
from keras_clip.command.parser import PRESET, PRESET_HELP, add_command, count


def add(commands, runs):
    """Add the commands."""
    command = add_command(
        commands, runs, "classify", "say which of some labels fits each picture best",
        'keras-clip classify cat.jpg dog.jpg --labels "cat,dog,bird"',
        'keras-clip classify photos/ --labels cat --labels dog --prompts photos',
        'keras-clip classify cat.jpg --labels "cat,dog" --plot answers.png --top 2',
        "keras-clip classify cat.jpg --preset vit_base_patch16_224_augreg_in21k_ft_in1k",
    )  # fmt: skip
    command.add_argument("images", nargs="+", metavar="IMAGES", help="pictures, or directories")
    _add_prompts(command)
    command.add_argument("--top", type=count, default=5, help="answers a picture (default: 5)")
    command.add_argument("--plot", metavar="FILE", help="draw pictures and answers, e.g. out.png")
    command.add_argument("--preset", default=PRESET, help=PRESET_HELP)
    command = add_command(
        commands, runs, "evaluate", "measure zero-shot classification, or retrieval by captions",
        "keras-clip evaluate pets/                      one folder a class",
        "keras-clip evaluate imagenet/val --prompts open_clip:imagenet",
        'keras-clip evaluate "wds/cifar10/test/*.tar" --plot confusion.png',
        "keras-clip evaluate coco.csv --captions        columns path and caption",
        'keras-clip evaluate "cifar10/test-*.parquet" --image-column img',
    )  # fmt: skip
    command.add_argument(
        "source", metavar="SOURCE",
        help=f"a folder with one folder a class, {SOURCE}",
    )  # fmt: skip
    _add_prompts(command)
    command.add_argument(
        "--captions", action="store_true", help="recall of captions and pictures, both ways"
    )
    command.add_argument("--batch-size", type=count, default=32, help="(default: 32)")
    command.add_argument("--plot", metavar="FILE", help="draw the confusion matrix, e.g. out.png")
    command.add_argument("--preset", default=PRESET, help=PRESET_HELP)
    add_columns(command)


def _add_prompts(command):
    command.add_argument(
        "--labels", action="extend", type=_labels, default=[], metavar="A,B",
        help="the answers to choose from, separated by commas; may be repeated",
    )  # fmt: skip
    command.add_argument(
        "--template", action="append", default=[], metavar="TEXT",
        help="a sentence with {} for the label; several are averaged (default: a photo of a {}.)",
    )  # fmt: skip
    command.add_argument(
        "--prompts", metavar="SET",
        help="templates, and perhaps labels: general, photos, textures, satellite, digits, "
        "open_clip:imagenet, a .toml or text file, or a folder with classnames.txt",
    )  # fmt: skip


def _labels(text):
    found = [label.strip() for label in text.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(f"an empty label in {text!r}")
    return found
