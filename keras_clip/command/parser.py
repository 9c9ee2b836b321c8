"""What every command's arguments are made of."""

import argparse

FAMILIES = ("clip", "siglip", "vit", "deit", "dinov2")
PRESET = "clip_vit_base_patch32_openai"
SOURCE_HELP = (
    "a name from `keras-clip list`, hf://org/repo[@revision], an http(s) URL, or the path of a "
    "file or directory"
)
PRESET_HELP = f"{SOURCE_HELP} (default: %(default)s)"


def add_command(commands, runs, name, help, *examples):
    """A command with its examples and --json."""
    epilog = "\n  ".join(["examples:", *examples])
    command = commands.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=runs[name], error=command.error)
    command.add_argument("--json", action="store_true", help="print JSON, for scripts")
    return command


def count(text):
    """A whole number of at least 1, as an argument's type."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return number
