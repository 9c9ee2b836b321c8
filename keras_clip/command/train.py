"""`keras-clip train`: a CLIP from pictures and captions, as a recipe says."""

import sys
from pathlib import Path

from keras_clip.command import terminal
from keras_clip.command.terminal import escape
from keras_clip.presets import from_preset
from keras_clip.prompt_sets import load_prompts
from keras_clip.train.recipe import Recipe
from keras_clip.train.recipe_dry_run import dry_run
from keras_clip.train.run import run


def train(recipe, output, dry=False, steps=None, overrides=()):
    """Train as a recipe says, or say what that would be.

    Args:
        recipe: path of a .toml file.
        output: path of the directory of the run, which one that was ended goes on in.
        dry: bool. Take two steps and write nothing.
        steps: int, instead of the recipe's; or None.
        overrides: list of `table.key=value`.

    Returns:
        Dictionary, as of `keras_clip.train.run` or, where `dry`, `keras_clip.train.dry_run`.

    Raises:
        ValueError: the recipe, the directory or the data cannot be used; the message says why.
        KeyboardInterrupt: a signal ended the run, and its checkpoint is written.
    """
    read = Recipe.from_toml(recipe, overrides)
    read = read.with_steps(steps) if steps else read
    if dry:
        return {"directory": str(output), **dry_run(read, output, from_preset, load_prompts)}
    result = run(read, Path(output), from_preset, load_prompts)
    if result["interrupted"]:
        print(
            f"{output}: the checkpoint of step {result['steps']} is written; the same command "
            "goes on from there",
            file=sys.stderr,
        )
        raise KeyboardInterrupt
    return result


def show_trained(result):
    """Print what was trained, or what would be."""
    if "recipe" in result:
        _show_plan(result)
        return
    console = terminal.console()
    if result["finished_before"]:
        console.print(f"{escape(result['directory'])}: finished before, nothing to do")
    table = terminal.table("trained", ">")
    table.add_row("steps", f"{result['steps']:,}")
    table.add_row("pairs", f"{result['pairs']:,}")
    if result["broken"]:
        table.add_row("pairs not read", f"[red]{result['broken']:,}[/red]")
    table.add_row("time of this run", _duration(result["seconds"]))
    if result["loss"] is not None:
        table.add_row("loss", f"{result['loss']:.4f}")
    for name, value in result["metrics"].items():
        table.add_row(escape(name), f"{value:.4f}")
    console.print(table)
    console.print(f"[bold]{escape(result['model'])}[/bold]: the model, for from_preset")


def _show_plan(result):
    from rich import filesize

    console, size = terminal.console(), filesize.decimal
    console.print(escape(result["recipe"]), highlight=False)
    plan = result["plan"]
    table = terminal.table("would train", ">")
    table.add_row("parameters", f"{plan['parameters']:,}")
    table.add_row("of them trained", f"{result['trained_parameters']:,}")
    table.add_row("TFLOPs a step", f"{plan['flops'] / 1e12:,.3f}")
    table.add_row("memory of a step, estimated", size(int(plan["memory"])))
    table.add_row("pairs", f"{result['pairs']:,}")
    table.add_row("steps", f"{result['steps']:,} ({result['batches_per_epoch']:,} an epoch)")
    longest, computed = result["tokens"]
    table.add_row("tokens read of captions", f"at most {longest} in the first batch, of {computed}")
    if result["start"]:
        table.add_row("would go on from step", f"{result['start']:,}")
    table.add_row("evaluations", ", ".join(map(escape, result["evaluations"])) or "none")
    table.add_row("loss of two steps", ", ".join(f"{loss:.4f}" for loss in result["losses"]))
    table.add_row("first step, with compiling", f"{result['first_step']:.1f} s")
    table.add_row("a step", f"{result['step']:.3g} s")
    table.add_row("all steps, without evaluations", _duration(result["seconds"]))
    console.print(table)
    console.print(f"[bold]{escape(result['directory'])}[/bold]: nothing was written")


def _duration(seconds):
    """1 h 02 min, 3 min 20 s, 12 s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, short = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {short:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
