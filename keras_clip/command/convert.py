"""`keras-clip convert`: a checkpoint from one layout into another."""

from pathlib import Path

from keras_clip.command import terminal
from keras_clip.command.terminal import escape
from keras_clip.presets import from_preset


def convert(source, target, layout, dtype=None, dry_run=False, **settings):
    """Write a model in another layout.

    Args:
        source: whatever `from_preset` takes.
        target: path to write, a directory or file as the layout wants it.
        layout: a format of `export_checkpoint`.
        dtype: str or None. Store floating weights as e.g. `float16`; None: as they are.
        dry_run: bool. Only tell what would be written.
        **settings: `config`, `family`, `load_weights` and `ignore`, as of `from_preset`.

    Returns:
        Dictionary: `source`, `output`, `format`, `params`, `dry_run`, and `files` with their bytes
        (None for those of a dry run whose size is not known).
    """
    from keras_clip.exporting import export_checkpoint

    model = from_preset(source, **settings)
    files = export_checkpoint(model, Path(target), format=layout, dtype=dtype, dry_run=dry_run)
    return {
        "source": str(source),
        "output": str(target),
        "format": layout,
        "params": model.count_params(),
        "dry_run": dry_run,
        "files": files,
    }


def show_converted(result):
    """Print what has been written, or would be."""
    console = terminal.console()
    table = terminal.table("file", ">size")
    for name, size in result["files"].items():
        table.add_row(escape(name), "" if size is None else f"{size / 1e6:,.2f} MB")
    wrote = f"{result['format']}, {result['params']:,} weights"
    console.print(f"[bold]{escape(result['output'])}[/bold]: {wrote}")
    console.print(table)
    if result["dry_run"]:
        console.print("A dry run: nothing has been written.")
