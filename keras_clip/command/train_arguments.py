"""What `keras-clip train` takes."""

from keras_clip.command.parser import add_command, count


def add(commands, runs):
    """Add the command."""
    command = add_command(
        commands, runs, "train", "train a CLIP from pictures and captions, as a recipe says",
        "keras-clip train recipe.toml -o run/ --dry-run    what it would do, and two steps of it",
        "keras-clip train recipe.toml -o run/              killed? the same command goes on",
        "keras-clip train recipe.toml -o run/ --set optimizer.learning_rate=1e-4",
    )  # fmt: skip
    command.add_argument("recipe", metavar="RECIPE", help="a .toml file")
    command.add_argument(
        "-o", "--output", required=True, metavar="DIRECTORY",
        help="checkpoints, logs and, in the end, the model as a preset",
    )  # fmt: skip
    command.add_argument(
        "--dry-run", action="store_true",
        help="print the resolved recipe, parameters and memory, and run two steps",
    )  # fmt: skip
    command.add_argument("--steps", type=count, help="instead of the recipe's")
    command.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
        help="change an entry of the recipe; may be given often",
    )  # fmt: skip
