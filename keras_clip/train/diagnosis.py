"""Where a batch first gives numbers that are not finite: input, weight or layer."""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_clip.models.batching import batches, map_rows

ROWS = 32  # at a time, since the output of every layer is kept


class Finding(NamedTuple):
    """What is not finite.

    Args:
        place: str, an input, weight or layer, such as `vision/block_3`; None: nothing.
        text: str, a sentence about it.
    """

    place: str | None
    text: str


def first_not_finite(model, x=None):
    """Look through inputs, weights and then the layers, in order: a Finding.

    Args:
        model: keras.Model. Of a CLIP both towers are looked through, layer by layer.
        x: a batch as `fit` takes it, or None to look at the weights alone.
    """
    parts = {} if x is None else _parts(model, x)
    for name, (part, rows) in parts.items():
        found = _in_input(name, part, rows)
        if found:
            return found
    for weight in model.weights:
        if not _finite(weight).all():
            return Finding(weight.path, f"The weight {weight.path} is not finite.")
    for name, (part, rows) in parts.items():
        found = _in_layers(name, part, rows)
        if found:
            return found
    seen = "Every layer's output and every weight is" if parts else "Every weight is"
    return Finding(None, f"{seen} finite.")


def _parts(model, x):
    """{name of an input: (the model that takes it, its rows)}."""
    x = x[0] if isinstance(x, (tuple, list)) else x
    if not isinstance(x, dict) or "token_ids" not in x:
        return {"inputs": (model, x)}
    ids = ops.convert_to_numpy(x["token_ids"])
    return {
        "images": (model.get_layer("vision"), x["images"]),
        "token_ids": (model.get_layer("text"), ids.reshape(-1, ids.shape[-1])),
    }


def _in_input(name, part, rows):
    arrays = rows if isinstance(rows, dict) else {name: rows}
    for key, array in arrays.items():
        array = ops.convert_to_numpy(array)
        if array.dtype.kind == "f":
            bad = _bad_rows(array)
            what = f"{key} has values that are not finite"
        elif name == "token_ids":
            size = part.config.vocabulary_size
            bad = _rows_where((array < 0) | (array >= size))
            what = f"token_ids has ids that are not in 0 to {size - 1}"
        else:
            continue
        if len(bad):
            return Finding(key, f"The input {what}, in {_rows(bad)} of the batch.")
    return None


def _in_layers(name, part, rows):
    """The first layer of a functional model whose output is not finite: a Finding or None."""
    layers = [layer for layer in part.layers if not isinstance(layer, keras.layers.InputLayer)]
    outputs = [layer.output for layer in layers]
    model = keras.Model(part.input, outputs)
    bad, start = [[] for _ in layers], 0
    for chunk in batches(map_rows(ops.convert_to_numpy, rows), ROWS):
        found = model.predict_on_batch(chunk)
        for k, output in enumerate(found if isinstance(found, list) else [found]):
            bad[k] += [
                start + row for tensor in keras.tree.flatten(output) for row in _bad_rows(tensor)
            ]
        start += ROWS
    for layer, where in zip(layers, bad, strict=True):
        if where:
            place = layer.name if name == "inputs" else f"{part.name}/{layer.name}"
            return Finding(
                place, f"The output of {place} is not finite, in {_rows(where)} of the batch."
            )
    return None


def _finite(tensor):
    array = ops.convert_to_numpy(tensor)
    return np.isfinite(array.astype("float32")) if array.dtype.kind != "f" else np.isfinite(array)


def _bad_rows(tensor):
    return _rows_where(~_finite(tensor))


def _rows_where(bad):
    return np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))


def _rows(rows):
    named = ", ".join(map(str, rows[:5]))
    return f"row{'s' if len(rows) > 1 else ''} {named}" + (" and more" if len(rows) > 5 else "")
