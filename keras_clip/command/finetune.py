"""`keras-clip finetune`: labelled pictures make a classifier, and a report says what it cost."""

import json
import math
import time
from pathlib import Path

from keras_clip import finetune as recipes
from keras_clip import plot
from keras_clip.command import finetune_arguments, terminal
from keras_clip.command.finetune_job import CONTRASTIVE, Job
from keras_clip.command.terminal import escape
from keras_clip.finetune.settings import Settings, default_learning_rate
from keras_clip.preprocessing.atomic_file import whole_file, write_bytes
from keras_clip.train.progress import Progress

_MEASURES = {"task": "on the task", "elsewhere": "zero-shot elsewhere"}


def finetune(options):
    """Fine-tune as the command line says, measure, and write the results.

    Args:
        options: what `keras_clip.command.finetune_arguments` parses.

    Returns:
        Dictionary: the report, which is `report.json` too; or, of a dry run, what would be done.

    Raises:
        ValueError: the recipe does not go with the model, or the pictures do not fit.
    """
    finetune_arguments.check(options)
    path = options.plot and plot.check_path(options.plot)
    job = Job(options)
    if options.dry_run:
        return _plan(job)
    before, output = job.before(), Path(options.output)
    begun = time.perf_counter()
    tuned, trained = _trained(job, output)
    report = {**_about(job), **trained, "seconds": time.perf_counter() - begun}
    if path:
        found = recipes.sweep(job.start, tuned, job.measures)
        plot.save(plot.wise_ft(found), path)
        report["sweep"] = found.to_dict()
    if options.alpha is not None:
        tuned = recipes.interpolate(job.start, tuned, options.alpha)
    after = {name: measure(tuned) for name, measure in job.measures.items()}
    report["accuracy"] = {name: [before[name], after[name]] for name in after}
    report["files"] = _written(job, tuned, output)
    report["failures"] = job.failures()
    write_bytes(output / "report.json", json.dumps(report, indent=2).encode())
    return report


def _trained(job, output):
    """What the recipe makes, adapters written and merged; and what to say of it."""
    model = job.prepared()
    said = {"trained_parameters": _trainable(model)}
    if job.recipe != "probe":
        said["learning_rate"] = _rate(job, model)
        job.fit(model, [Progress(job.options.batch_size, _steps(job))])
    if job.rank:
        recipes.save_adapters(model, output / "adapters.safetensors")
        recipes.merge_adapters(model)
    return model, said


def _written(job, tuned, output):
    """Write the classifier, and the model where it has changed: {name: bytes}."""
    output.mkdir(parents=True, exist_ok=True)
    with whole_file(output / "classifier.keras") as part:
        job.classifier(tuned).save(part)
    if job.recipe != "probe":
        whole = tuned if job.clip is None else job.whole(tuned)
        if hasattr(whole, "save_to_preset"):
            whole.save_to_preset(output / "model")
    found = sorted(path for path in output.rglob("*") if path.is_file())
    names = ("classifier.keras", "adapters.safetensors")
    return {
        path.relative_to(output).as_posix(): path.stat().st_size
        for path in found
        if path.name in names or path.parent == output / "model"
    }


def _about(job):
    """What is known before the first step."""
    test = 0 if job.test is None else len(job.test)
    return {
        "recipe": job.recipe,
        "preset": str(job.options.preset),
        "classes": list(job.prompts.names),
        "images": [len(job.train), test],
        "epochs": 0 if job.recipe == "probe" else job.options.epochs,
        "rank": job.rank,
        "alpha": job.options.alpha,
        "parameters": job.model.count_params(),
    }


def _plan(job):
    """What a run would do."""
    model = job.prepared()
    plan = {**_about(job), "trained_parameters": _trainable(model)}
    plan["sentences"] = [sentences[0] for sentences in job.prompts.sentences]
    if job.recipe != "probe":
        plan |= {"steps": _steps(job), "learning_rate": _rate(job, model)}
    return plan


def _steps(job):
    size, count = job.options.batch_size, len(job.train)
    whole = max(count // size, 1) if job.recipe in CONTRASTIVE else -(-count // size)
    return whole * job.options.epochs


def _rate(job, model):
    asked = Settings(**job.settings).learning_rate
    return default_learning_rate(model) if asked is None else asked


def _trainable(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_variables)


def show_finetuned(result):
    """Print the report, or what would be done."""
    console = terminal.console()
    train, test = result["images"]
    name = f"[bold]{result['recipe']}[/bold]"
    classes = f"{len(result['classes'])} classes, {train:,} training and {test:,} test pictures"
    console.print(f"{name}: {classes}")
    table = terminal.table("", ">before", ">after")
    for key, pair in result.get("accuracy", {}).items():
        table.add_row(_MEASURES[key], *("" if x is None else terminal.percent(x) for x in pair))
    if table.row_count:
        console.print(table)
    table = terminal.table("", ">")
    trained = result["trained_parameters"]
    table.add_row("weights that train", f"{trained:,} of {result['parameters']:,}")
    if "learning_rate" in result:
        table.add_row("learning rate", f"{result['learning_rate']:.2g}")
    if "steps" in result:
        table.add_row("steps", f"{result['steps']:,}")
    if "seconds" in result:
        table.add_row("seconds", f"{result['seconds']:,.1f}")
    if result["alpha"] is not None:
        table.add_row("share of the new weights", f"{result['alpha']:g}")
    if "sweep" in result:
        table.add_row("best share, by the plot", f"{result['sweep']['best']:g}")
    for name, size in result.get("files", {}).items():
        table.add_row(escape(name), f"{size / 1e6:,.2f} MB")
    console.print(table)
    for sentence in result.get("sentences", ())[:5]:
        console.print(f"  {escape(sentence)}")
    for key, reason in result.get("failures", ()):
        console.print(f"[red]not read[/red] {escape(key)}: {escape(reason)}")
