"""`keras-clip list` and `keras-clip info`: what is known of the presets."""

from keras_clip.catalogue import list_presets, preset_info
from keras_clip.command import terminal
from keras_clip.command.terminal import escape

_IMAGENET = {
    "imagenet1k_zero_shot_top1": "zero-shot",
    "imagenet1k_top1": "trained",
    "imagenet1k_linear_top1": "linear head",
}
_ZERO_SHOT = ("imagenet1k_zero_shot_top1",)
SORTS = ("params", "image", "imagenet", "imagenet_zero_shot", "name")


def presets(family=None, sort="params"):
    """Return what `preset_info` knows of every preset, family by family.

    Args:
        family: a family of `list_presets`, or None for all.
        sort: one of SORTS: the smallest of each family, or the most accurate of all, first.
    """
    known = [preset_info(name) for name in list_presets(family)]
    known.sort(key=lambda entry: (entry["family"], entry["params"], entry["name"]))
    keys = {
        "name": lambda entry: entry["name"],
        "params": lambda entry: (entry["family"], entry["params"]),
        "image": lambda entry: (entry["family"], image_size(entry)),
        "imagenet": lambda entry: -_value(imagenet(entry)),
        "imagenet_zero_shot": lambda entry: -_value(imagenet(entry, _ZERO_SHOT)),
    }
    return sorted(known, key=keys[sort])


def imagenet(entry, names=tuple(_IMAGENET)):
    """The first published ImageNet-1k accuracy of a preset: its metric, or None."""
    return next((m for m in entry["metrics"] if m["name"] in names), None)


def how(metric):
    """How an ImageNet-1k accuracy came about, in a word or two."""
    return _IMAGENET[metric["name"]]


def image_size(entry):
    """(height, width) in pixels, or () where pictures may have any size."""
    config = entry.get("config", {})
    return tuple(config.get("vision", config).get("image_size", ()))


def _value(metric):
    return metric["value"] if metric else 0.0


def show_presets(entries):
    """Print presets as a table, and under it where the numbers come from."""
    console = terminal.console()
    sources = []
    table = terminal.table("preset", ">M params", ">image", "licence", ">top-1 %", ">source")
    for entry in entries:
        metric = imagenet(entry)
        table.add_row(
            f"[bold]{entry['name']}[/bold]",
            f"{entry['params'] / 1e6:,.1f}",
            " x ".join(str(side) for side in dict.fromkeys(image_size(entry))) or "any",
            entry["license"],
            f"{metric['value']:.1f}" if metric else "",
            str(_place(sources, f"{how(metric)}, {metric['source']}")) if metric else "",
        )
    console.print(table)
    listed = "\n".join(f"  {place}  {source}" for place, source in enumerate(sources, 1))
    console.print(
        "top-1: ImageNet-1k accuracy as published; `keras-clip info NAME` gives its protocol. "
        f"Sources:\n{listed}",
        style="dim",
        highlight=False,
    )


def _place(sources, source):
    """The number of a source in the list of them, where it is put if it is new."""
    if source not in sources:
        sources.append(source)
    return sources.index(source) + 1


def show_preset(entry):
    """Print one preset: where it is from, its configuration, its published numbers."""
    console = terminal.console()
    console.print(f"\n[bold]{entry['name']}[/bold]")
    facts = terminal.table("", "")
    facts.show_header = False
    shown = ("family", "source", "table", "tokenizer", "sha256", "license")
    for key in [key for key in shown if key in entry]:
        facts.add_row(key, escape(str(entry[key])))
    facts.add_row("params", f"{entry['params']:,}")
    console.print(facts)
    tree = terminal.table("configuration", "value")
    for key, value in flat(entry.get("config", {})):
        tree.add_row(key, escape(str(value)))
    console.print(tree)
    metrics = terminal.table("published metric", ">value", "protocol", "source")
    for metric in entry["metrics"]:
        metrics.add_row(metric["name"], f"{metric['value']}", metric["protocol"], metric["source"])
    console.print(metrics if entry["metrics"] else "No published numbers are known.")


def flat(config, prefix=""):
    """Yield (dotted name, value) of a nested dictionary."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
