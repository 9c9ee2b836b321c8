"""`keras-clip verify`: whether a checkpoint gives here what it gives in its own library."""

import keras
import numpy as np

from keras_clip.command import terminal
from keras_clip.command.reference_models import ReferenceUnavailableError, reference_outputs
from keras_clip.command.terminal import escape
from keras_clip.convert import open_checkpoint
from keras_clip.identification import identify
from keras_clip.models.clip import CLIP
from keras_clip.models.weights import named_weights
from keras_clip.presets import from_preset
from keras_clip.sources import find

TOLERANCE = 1e-5


def verify(source, tolerance=TOLERANCE, config=None, family=None):
    """Load a checkpoint and compare it with its reference library on random inputs.

    Every tensor of the file has been used, and every weight filled, when loading has succeeded.

    Args:
        source: whatever `from_preset` takes.
        tolerance: largest difference allowed, relative to the largest value.
        config, family: as of `from_preset`.

    Returns:
        Dictionary: `source`, `layout`, `tensors`, `params`, `not_finite` (names of weights),
        `library` (None: no comparison was possible, for the reason in `why_not`), `differences`
        by output, `largest`, `tolerance`, and `passed`.
    """
    found = find(str(source))
    with open_checkpoint(found.file) as checkpoint:
        layout, tensors = identify(checkpoint, found, config, family).layout, len(checkpoint)
    model = from_preset(source, config=config, family=family)
    weights = named_weights(model)
    report = {
        "source": str(source),
        "layout": layout,
        "tensors": tensors,
        "params": model.count_params(),
        "not_finite": [name for name, weight in weights.items() if not finite(weight)],
        "library": None,
        "why_not": None,
        "differences": {},
        "largest": None,
        "tolerance": tolerance,
    }
    inputs = random_inputs(model)
    try:
        report["library"], expected = reference_outputs(layout, found.file, model.config, inputs)
    except ReferenceUnavailableError as error:
        report["why_not"] = str(error)
    else:
        ours = outputs(model, inputs)
        report["differences"] = {k: difference(ours[k], expected[k]) for k in expected}
        report["largest"] = max(report["differences"].values())
    close = report["largest"] is None or report["largest"] <= tolerance
    report["passed"] = close and not report["not_finite"]
    return report


def finite(weight):
    """Whether a variable holds neither NaN nor infinity."""
    value = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(weight, "float32")))
    return bool(np.isfinite(value).all())


def random_inputs(model, count=2, seed=0):
    """Random pictures, and for a CLIP random texts of different lengths that end as they should."""
    rng = np.random.default_rng(seed)
    clip = isinstance(model, CLIP)
    size = getattr(model.config.vision if clip else model.config, "image_size", None)
    if size:
        inputs = {"images": rng.standard_normal((count, *size, 3), dtype="float32")}
    else:  # a NaFlex model, whose pictures are of any size
        pictures = [rng.integers(0, 256, (50 * i + 40, 60, 3), "uint8") for i in range(count)]
        inputs = {"images": model.image_processor(pictures)}
    if clip:
        text = model.config.text
        end = text.vocabulary_size - 1 if text.end_token_id is None else text.end_token_id
        token_ids = np.full((count, text.context_length), text.pad_token_id, "int32")
        for row in token_ids:
            length = int(rng.integers(text.context_length // 2, text.context_length))
            row[:length] = rng.integers(1, text.vocabulary_size - 2, length)
            row[:length][row[:length] == end] = 1
            row[length] = end
        inputs["token_ids"] = token_ids
    return inputs


def outputs(model, inputs):
    """What the model gives under the names of `reference_outputs`."""
    if isinstance(model, CLIP):
        vision, text = model.get_layer("vision"), model.get_layer("text")
        return {
            "image embeddings": np.asarray(vision.predict_on_batch(inputs["images"])),
            "text embeddings": np.asarray(text.predict_on_batch(inputs["token_ids"])),
        }
    if model.config.head_activation and model.config.num_classes:
        logits = keras.Model(model.input, model.get_layer("predictions").input)
        return {"logits": np.asarray(logits.predict_on_batch(inputs["images"]))}
    name = "tokens" if not model.config.is_pooled else "features"
    name = "logits" if model.config.num_classes else name
    return {name: np.asarray(model.predict_on_batch(inputs["images"]))}


def difference(found, expected):
    """Largest difference, relative to the largest expected value; infinite where NaN is in it."""
    if found.shape != expected.shape:
        raise ValueError(f"The output has shape {found.shape}, the reference's {expected.shape}.")
    largest = float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))
    return largest if np.isfinite(largest) else float("inf")


def show_report(report):
    """Print what `verify` found."""
    console = terminal.console()
    table = terminal.table("", "")
    table.show_header = False
    table.add_row("checkpoint", f"{escape(report['source'])} ({report['layout']})")
    table.add_row("tensors", f"{report['tensors']}, every one used or known not to be a weight")
    table.add_row("params", f"{report['params']:,}, every weight filled")
    bad = report["not_finite"]
    table.add_row("not finite", f"[red]{', '.join(bad)}[/red]" if bad else "none")
    if report["library"]:
        table.add_row("compared with", f"{report['library']}, random inputs")
        for name, value in report["differences"].items():
            table.add_row(f"  {name}", f"{value:.1e} of the largest value")
    else:
        table.add_row("not compared", escape(report["why_not"]))
    console.print(table)
    if not report["passed"]:
        console.print("[bold red]failed[/bold red]: see above")
    elif report["library"]:
        console.print(
            f"[bold green]passed[/bold green]: the largest difference, {report['largest']:.1e}, "
            f"is within {report['tolerance']:g}"
        )
    else:
        console.print("[bold green]loads[/bold green], all finite; not compared")
