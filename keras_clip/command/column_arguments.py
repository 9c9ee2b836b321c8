"""Options that name the columns of a table, or what tar shards have in their place."""

KINDS = ("image", "label", "caption")
SOURCE = "a .csv, .tsv, .jsonl or .parquet table, .tar or .tar.gz shards, or a pattern of either"


def add_columns(command):
    """Add the options to a command that takes pictures."""
    group = command.add_argument_group(
        "columns of a table; of shards, suffixes of members or fields of their .json"
    )
    for kind in KINDS:
        several = "; may be repeated" if kind == "caption" else ""
        group.add_argument(
            f"--{kind}-column", metavar="NAME", action="append" if several else "store",
            help=f"the {kind}s{several} (default: common names)",
        )  # fmt: skip


def columns(options):
    """The columns that were named, as `open_pictures` takes them."""
    named = {kind: getattr(options, f"{kind}_column") for kind in KINDS}
    return {kind: name for kind, name in named.items() if name}
