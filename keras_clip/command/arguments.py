"""What the command line takes: the commands, their options, their examples."""

import argparse
import json

from keras_clip.catalogue import BUNDLED_PRESET
from keras_clip.command import (
    embed_arguments,
    finetune_arguments,
    look_arguments,
    probe_arguments,
    search_arguments,
    train_arguments,
    zero_shot_arguments,
)
from keras_clip.command.listing import SORTS
from keras_clip.command.parser import (
    FAMILIES,
    PRESET,
    PRESET_HELP,
    SOURCE_HELP,
    add_command,
)
from keras_clip.version import __version__

_EPILOG = """examples:
  keras-clip demo                                         needs no network
  keras-clip classify cat.jpg --labels "cat,dog,bird"
  keras-clip embed photos/ -o photos.npy
  keras-clip train recipe.toml -o run/
  keras-clip inspect ViT-B-32.pt
  keras-clip convert ViT-B-32.pt out/ --to huggingface
  keras-clip COMMAND --help                               more of each

KERAS_BACKEND=jax, tensorflow or torch picks what computes. Exit codes: 0 done, 1 an error in the
work (one line on standard error; KERAS_CLIP_DEBUG=1 shows where), 2 wrong use."""


def build_parser(runs):
    """Make the parser; `runs` gives the function of each command by the command's name."""
    parser = argparse.ArgumentParser(
        prog="keras-clip",
        description="CLIP and vision transformers for Keras 3, without writing Python.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"keras-clip {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (
        _add_looking,
        zero_shot_arguments.add,
        probe_arguments.add,
        embed_arguments.add,
        train_arguments.add,
        finetune_arguments.add,
        search_arguments.add,
        look_arguments.add,
        _add_files,
        _add_demo,
    ):
        add(commands, runs)
    return parser


def _add_looking(commands, runs):
    command = add_command(
        commands, runs, "list", "show the presets with size, licence and accuracy",
        "keras-clip list", "keras-clip list --family clip --json",
        "keras-clip list --family siglip --sort imagenet_zero_shot",
    )  # fmt: skip
    command.add_argument("--family", choices=FAMILIES, help="only this family")
    command.add_argument(
        "--sort", choices=SORTS, default="params",
        help="the smallest, or the most accurate, first (default: params)",
    )  # fmt: skip
    command = add_command(
        commands, runs, "info", "show a preset's configuration and published numbers",
        f"keras-clip info {PRESET}",
    )  # fmt: skip
    command.add_argument("name", metavar="NAME", help="a name from `keras-clip list`")
    command = add_command(
        commands, runs, "inspect", "show what is in a checkpoint and what would be built from it",
        "keras-clip inspect ViT-B-32.pt", "keras-clip inspect ./clip-vit-base-patch32 --all",
        "keras-clip inspect hf://laion/CLIP-ViT-B-32-laion2B-s34B-b79K --json",
    )  # fmt: skip
    _add_source(command, "FILE")
    _add_reading(command)
    command.add_argument("--all", action="store_true", help="a line a tensor, layers unfolded")


def _add_files(commands, runs):
    command = add_command(
        commands, runs, "convert", "write a checkpoint in another layout",
        "keras-clip convert ViT-B-32.pt out/ --to huggingface",
        "keras-clip convert ./siglip out/ --to open_clip --dry-run",
        "keras-clip convert hf://laion/CLIP-ViT-B-32-laion2B-s34B-b79K my_clip/ "
        "--to keras --dtype float16",
    )  # fmt: skip
    _add_source(command, "SRC")
    _add_reading(command)
    command.add_argument("target", metavar="DST", help="file or directory to write")
    layouts = ("huggingface", "open_clip", "openai", "timm", "google", "keras")
    command.add_argument(
        "--to", "--format", dest="layout", required=True, choices=layouts, help="what to write"
    )
    command.add_argument("--dtype", help="of the stored weights, e.g. float16 (default: as is)")
    command.add_argument(
        "--dry-run", action="store_true", help="say what would be written, and write nothing"
    )
    command = add_command(
        commands, runs, "verify", "compare a checkpoint with its reference library",
        "keras-clip verify ./clip-vit-base-patch32", "keras-clip verify ViT-B-32.pt",
    )  # fmt: skip
    _add_source(command, "SRC")
    command.add_argument(
        "--tolerance", type=float, default=1e-5,
        help="largest difference, relative to the largest value (default: 1e-5)",
    )  # fmt: skip


def _add_source(command, metavar):
    command.add_argument("source", metavar=metavar, help=SOURCE_HELP)
    command.add_argument(
        "--config", metavar="JSON", type=json_or_path,
        help="the config.json or open_clip_config.json of a bare file, or what it leaves open, "
        """as '{"quick_gelu": true}'""",
    )  # fmt: skip
    command.add_argument(
        "--family", choices=FAMILIES, help="what a bare file holds, where its names leave that open"
    )


def _add_reading(command):
    command.add_argument(
        "--weights", metavar="KEY",
        help="which of several sets of weights in a file of training, e.g. state_dict or student "
        "(default: an average where there is one)",
    )  # fmt: skip
    command.add_argument(
        "--ignore", metavar="PATTERN", action="append", default=[],
        help="leave out tensors that are no weights of the model, e.g. 'decoder.*'; again for more",
    )  # fmt: skip


def json_or_path(text):
    """What stands in braces is JSON itself."""
    return json.loads(text) if text.lstrip().startswith("{") else text


def _add_demo(commands, runs):
    command = add_command(
        commands, runs, "demo", "zero-shot answers on real pictures by the bundled model, offline",
        "keras-clip demo", "keras-clip demo --plot demo.png",
    )  # fmt: skip
    command.add_argument("--plot", metavar="FILE", help="draw the answers, e.g. demo.png")
    command.add_argument("--preset", default=BUNDLED_PRESET, help=PRESET_HELP)
