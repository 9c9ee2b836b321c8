"""What `keras-clip embed` takes."""

from keras_clip.command.column_arguments import SOURCE, add_columns
from keras_clip.command.parser import PRESET, PRESET_HELP, add_command, count

_ONLY_DIRECTORY = ("format", "part_rows", "workers", "address", "ray_workers")


def add(commands, runs):
    """Add the command."""
    command = add_command(
        commands, runs, "embed", "turn pictures or texts into unit vectors",
        "keras-clip embed photos/ -o vectors/              killed? the same command goes on",
        "keras-clip embed photos/ -o photos.npy            one file",
        "keras-clip embed pictures.csv -o vectors/ --image-column path --dtype float16",
        'keras-clip embed "shards/{0000..0099}.tar" -o vectors/ --dry-run',
        "keras-clip embed photos/ -o vectors/ --engine ray --address auto --ray-workers 8",
        'keras-clip embed --texts "a cat" "a dog" -o texts.npy',
    )  # fmt: skip
    command.add_argument(
        "sources", nargs="*", metavar="SOURCE",
        help=f"a directory, {SOURCE}, or pictures",
    )  # fmt: skip
    command.add_argument("--texts", nargs="+", default=[], metavar="TEXT", help="texts instead")
    command.add_argument(
        "-o", "--output", required=True, metavar="OUT",
        help="one .npy file; or a directory of parts with a manifest, for any number of pictures",
    )  # fmt: skip
    command.add_argument("--preset", default=PRESET, help=PRESET_HELP)
    command.add_argument("--batch-size", type=count, default=32, help="(default: 32)")
    command.add_argument(
        "--dtype", choices=("float32", "float16"), default="float32", help="(default: float32)"
    )
    add_columns(command)
    _add_directory(command)


def _add_directory(command):
    group = command.add_argument_group("a directory as output")
    group.add_argument("--format", choices=("parquet", "npy"), help="(default: parquet)")
    group.add_argument("--part-rows", type=count, help="pictures a part (default: 4096)")
    group.add_argument("--workers", type=count, help="threads that decode (default: one a core)")
    group.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and write nothing"
    )
    group.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="(default: local)"
    )
    group.add_argument("--address", help="of the Ray cluster (default: one on this machine)")
    group.add_argument("--ray-workers", type=count, help="processes with the model (default: 1)")


def check(options):
    """Leave with the command's usage where options do not go together."""
    if bool(options.sources) == bool(options.texts):
        options.error("give either SOURCE or --texts")
    told = [name for name in _ONLY_DIRECTORY if getattr(options, name) is not None]
    told += ["dry_run"] * options.dry_run + ["engine"] * (options.engine == "ray")
    if is_file(options) and told:
        options.error(f"--{told[0].replace('_', '-')} goes with a directory as output, not .npy")
    if options.texts and not is_file(options):
        options.error("texts go into one file: -o NAME.npy")
    if options.engine == "local" and (options.address or options.ray_workers):
        options.error("--address and --ray-workers go with --engine ray")


def is_file(options):
    """Whether the output is one .npy file."""
    return options.output.endswith(".npy")


def job(options):
    """The settings of a job that were given, as `bulk.Settings` takes them."""
    names = ("dtype", "format", "batch_size", "part_rows")
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def ray(options):
    """Workers and address of a Ray cluster, or None."""
    if options.engine != "ray":
        return None
    return {"workers": options.ray_workers or 1, "address": options.address}
