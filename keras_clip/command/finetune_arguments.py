"""What `keras-clip finetune` takes."""

import argparse

from keras_clip.command.column_arguments import SOURCE, add_columns
from keras_clip.command.parser import PRESET, PRESET_HELP, add_command, count

RECIPES = {
    "probe": "a linear head on frozen features, by L-BFGS",
    "lp-ft": "the probe first, then everything from that head",
    "full": "everything, from the zero-shot classifier",
    "partial": "the last --blocks and what is behind them",
    "lora": "adapters of --rank alone, kept as adapters.safetensors too",
    "flyp": "contrastive, with the classes' sentences as captions; with --rank by adapters",
    "lit": "as flyp, the image tower locked",
}
_SOURCE = f"a folder with one subfolder a class, {SOURCE}"
_ABOUT = "recipes:\n  " + "\n  ".join(f"{name:10}{text}" for name, text in RECIPES.items())


def add(commands, runs):
    """Add the command."""
    command = add_command(
        commands, runs, "finetune",
        "fine-tune a model on labelled pictures, and measure what it forgets",
        "keras-clip finetune lora train/ --test test/ -o pets/",
        "keras-clip finetune full train/ --test test/ --elsewhere other/ --plot wise.png -o pets/",
        "keras-clip finetune full train/ --alpha 0.5 -o pets/    half-way from zero-shot",
        'keras-clip finetune flyp train/ --template "a photo of a {}, a pet." --epochs 5 -o pets/',
        "keras-clip finetune partial train/ --blocks 4 --dry-run    what would train",
    )  # fmt: skip
    command.description += "\n\n" + _ABOUT
    command.add_argument(
        "recipe", metavar="RECIPE", choices=tuple(RECIPES), help=", ".join(RECIPES)
    )
    command.add_argument("train", metavar="TRAIN", help=f"labelled pictures: {_SOURCE}")
    command.add_argument(
        "--test", metavar="TEST", help="pictures of the same classes, measured before and after"
    )
    command.add_argument("--preset", default=PRESET, help=PRESET_HELP)
    command.add_argument(
        "-o", "--output", metavar="DIR",
        help="for classifier.keras, report.json, the fine-tuned CLIP as a preset in model/",
    )  # fmt: skip
    command.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and do not"
    )
    _add_classes(command)
    _add_training(command)
    _add_between(command)
    add_columns(command)


def _add_classes(command):
    command.add_argument(
        "--labels", type=_labels, metavar="A,B",
        help="what the classes are called in sentences: TRAIN's own names, or others in their "
        "order (default: its own)",
    )  # fmt: skip
    command.add_argument(
        "--template", action="append", default=[], metavar="TEXT",
        help="a sentence with {} for the label; several are averaged (default: a photo of a {}.)",
    )  # fmt: skip


def _add_training(command):
    command.add_argument("--epochs", type=count, default=10, help="(default: 10)")
    command.add_argument("--batch-size", type=count, default=32, help="(default: 32)")
    command.add_argument(
        "--learning-rate", type=_positive, metavar="RATE",
        help="(default: by what trains and the model's size)",
    )  # fmt: skip
    command.add_argument(
        "--label-smoothing", type=_share, default=0.0, metavar="SHARE", help="(default: 0)"
    )
    command.add_argument("--rank", type=count, help="of adapters (default: 8, of lora)")
    command.add_argument("--blocks", type=count, default=2, help="of partial (default: 2)")
    command.add_argument(
        "--augment",
        action="store_true",
        help="random crops of half of a picture or more, and flips",
    )
    command.add_argument("--seed", type=int, default=0, help="(default: 0)")


def _add_between(command):
    command.add_argument(
        "--alpha", type=_share, metavar="SHARE",
        help="keep (1 - SHARE) of the weights before fine-tuning (WiSE-FT); 0.5 is a good start",
    )  # fmt: skip
    command.add_argument(
        "--elsewhere", metavar="SOURCE",
        help="labelled pictures of other classes: zero-shot accuracy before and after",
    )  # fmt: skip
    command.add_argument(
        "--plot", metavar="FILE",
        help="draw --test against --elsewhere for each share of the new weights, e.g. wise.png",
    )  # fmt: skip


def check(options):
    """Leave with code 2 where options do not go together."""
    if not (options.output or options.dry_run):
        options.error("give -o DIR, or --dry-run")
    if options.plot and not (options.test and options.elsewhere):
        options.error("--plot needs --test and --elsewhere")
    if options.recipe == "probe" and (options.alpha is not None or options.plot):
        options.error("a probe changes no weights to interpolate: no --alpha or --plot with it")
    if options.rank and options.recipe not in ("lora", "flyp"):
        options.error("--rank goes with lora and flyp")


def _labels(text):
    found = [label.strip() for label in text.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(f"an empty label in {text!r}")
    return found


def _number(text):
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _positive(text):
    number = _number(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def _share(text):
    number = _number(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 1")
    return number
