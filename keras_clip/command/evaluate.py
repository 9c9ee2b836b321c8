"""`keras-clip evaluate`: how well a CLIP names pictures, or finds their captions."""

from keras_clip import evaluate as measures
from keras_clip.command import terminal
from keras_clip.command.terminal import escape
from keras_clip.data import open_pictures
from keras_clip.models.clip import require_clip
from keras_clip.presets import from_preset
from keras_clip.prompt_sets import asked_prompts

_WORST = 10  # classes that are shown
_WAYS = {"picture to captions": "image_to_text", "caption to picture": "text_to_image"}


def zero_shot(source, preset, labels=(), templates=(), prompts=None, batch_size=32, columns=None):
    """Measure zero-shot classification of labelled pictures.

    Args:
        source: what `keras_clip.data.open_pictures` takes.
        preset: whatever `from_preset` takes.
        labels: list of str; empty: those of the prompts, else of the pictures.
        templates: list of str with `{}`; empty: those of the prompts, else of the pictures.
        prompts: what `load_prompts` takes, or None.
        batch_size: pictures a step.
        columns: as of `open_pictures`.

    Returns:
        Dictionary: the fields of `keras_clip.evaluate.ZeroShotScores`, and `preset`.

    Raises:
        ValueError: the preset is no CLIP, or the labels do not fit the pictures.
    """
    pictures = open_pictures(source, columns)  # before minutes of loading
    templates = tuple(templates) or pictures.templates
    asked = asked_prompts(labels or None, templates, prompts, pictures.class_names)
    clip = require_clip(from_preset(preset), preset)
    found = measures.zero_shot(clip, pictures, asked, batch_size=batch_size)
    return {"preset": str(preset), **found.to_dict()}


def captions(source, preset, batch_size=32, columns=None):
    """Measure how captions find their pictures and pictures their captions.

    Args: as `zero_shot`.

    Returns:
        Dictionary: the fields of `keras_clip.evaluate.Retrieval`, `preset` and `failures`.

    Raises:
        ValueError: the preset is no CLIP, or there are no captions.
    """
    pictures = open_pictures(source, columns)
    clip = require_clip(from_preset(preset), preset)
    found, failures = measures.caption_retrieval(clip, pictures, batch_size=batch_size)
    return {"preset": str(preset), **found.to_dict(), "failures": failures}


def show_zero_shot(result):
    """Print the numbers, and the classes that are found least."""
    low, high = (f"{100 * share:.1f}" for share in result["interval"])
    console = terminal.console()
    summary = terminal.table("zero-shot", ">")
    summary.add_row("top-1", f"{terminal.percent(result['top1'])}  ({low} to {high})")
    summary.add_row("top-5", terminal.percent(result["top5"]))
    summary.add_row("mean of the classes", terminal.percent(result["mean_per_class"]))
    summary.add_row("calibration error", terminal.percent(result["calibration_error"]))
    summary.add_row("pictures", f"{result['images']:,}")
    summary.add_row("ms a picture", f"{1000 * result['seconds_per_image']:.1f}")
    console.print(summary)
    table = terminal.table("class", ">right", ">pictures", "", title="Found least")
    recalls = [
        (row[k] / sum(row), sum(row), name)
        for k, (row, name) in enumerate(
            zip(result["confusion"], result["class_names"], strict=True)
        )
        if sum(row)
    ]
    for share, number, name in sorted(recalls)[:_WORST]:
        bar = f"[green]{terminal.bar(share)}[/green]"
        table.add_row(escape(name), terminal.percent(share), f"{number:,}", bar)
    console.print(table)
    _show_failures(console, result["failures"])


def show_captions(result):
    """Print recall both ways."""
    table = terminal.table(
        "", *(f">recall@{k}" for k in result["image_to_text"]), ">median rank"
    )  # fmt: skip
    for title, way in _WAYS.items():
        shares = [terminal.percent(share) for share in result[way].values()]
        table.add_row(title, *shares, f"{result[f'{way}_rank']:g}")
    console = terminal.console()
    console.print(table)
    console.print(f"{result['images']:,} pictures, {result['texts']:,} captions")
    _show_failures(console, result["failures"])


def _show_failures(console, failures):
    if failures:
        key, reason = failures[0]
        console.print(
            f"[yellow]{len(failures)} pictures could not be read[/yellow]; the first, "
            f"{escape(key)}: {escape(reason)}"
        )
