"""What the commands take that show what a model sees."""

from keras_clip.command.parser import PRESET, PRESET_HELP, SOURCE_HELP, add_command, count

PORT = 7860


def add(commands, runs):
    """Add `where` and `app`."""
    command = add_command(
        commands, runs, "where", "find where in a picture some texts are",
        'keras-clip where photo.jpg "a dog" "a ball" --plot where.png',
        'keras-clip where photo.jpg "a dog" --image-size 448 --json',
    )  # fmt: skip
    command.add_argument("image", metavar="IMAGE", help="a picture")
    command.add_argument("texts", nargs="+", metavar="TEXT", help="what to find")
    command.add_argument("--plot", metavar="FILE", help="draw where they are, e.g. where.png")
    _add_size(command)
    command.add_argument("--preset", default=PRESET, help=PRESET_HELP)
    command = add_command(
        commands, runs, "app", "open a local web page: classify, search, see where",
        "keras-clip app", "keras-clip app --preset clip_resnet_tiny_shapes --image-size 192",
        "keras-clip app --index photos.index --port 8000",
    )  # fmt: skip
    command.add_argument("--index", metavar="DIR", help="an index to search, of `keras-clip index`")
    command.add_argument(
        "--port", type=count, default=PORT, help="of this machine alone (default: %(default)s)"
    )
    _add_size(command)
    default = f"that of the index, else {PRESET}"
    command.add_argument("--preset", help=f"{SOURCE_HELP} (default: {default})")


def _add_size(command):
    command.add_argument(
        "--image-size", type=count, metavar="PIXELS",
        help="of the pictures in which to find texts: more than the model's own is finer",
    )  # fmt: skip
