"""`keras-clip convert`: a checkpoint from one layout into another."""

from pathlib import Path

from keras_clip.command import terminal
from keras_clip.command.terminal import escape
from keras_clip.presets import from_preset

FORMATS = ("huggingface", "open_clip", "openai", "google", "keras_clip")


def convert(source, target, layout, dtype=None):
    """Write a model in another layout.

    Args:
        source: whatever `from_preset` takes.
        target: path to write, a directory or file as the layout wants it.
        layout: one of FORMATS.
        dtype: str or None. Store floating weights as e.g. `float16`; None: as they are.

    Returns:
        Dictionary: `source`, `output`, `format`, `params`, and `files` with their bytes.
    """
    from keras_clip.exporting import export_checkpoint

    model = from_preset(source)
    target = Path(target)
    export_checkpoint(model, target, format=layout, dtype=dtype)
    files = sorted(target.iterdir()) if target.is_dir() else [target]
    return {
        "source": str(source),
        "output": str(target),
        "format": layout,
        "params": model.count_params(),
        "files": {path.name: path.stat().st_size for path in files},
    }


def show_converted(result):
    """Print what has been written."""
    console = terminal.console()
    table = terminal.table("file", ">size")
    for name, size in result["files"].items():
        table.add_row(escape(name), f"{size / 1e6:,.2f} MB")
    wrote = f"{result['format']}, {result['params']:,} weights"
    console.print(f"[bold]{escape(result['output'])}[/bold]: {wrote}")
    console.print(table)
