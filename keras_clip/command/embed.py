"""`keras-clip embed`: pictures or texts to unit vectors in a .npy file."""

import os
from pathlib import Path

import numpy as np

from keras_clip.command import terminal
from keras_clip.command.terminal import escape
from keras_clip.models.clip import CLIP
from keras_clip.presets import from_preset


def embed(output, preset, paths=(), texts=(), batch_size=32):
    """Write one unit vector a picture or text: (n, dim) float32.

    Args:
        output: path of the .npy file; it is whole or not there.
        preset: whatever `from_preset` takes.
        paths: list of paths of pictures, or empty.
        texts: list of str, or empty.
        batch_size: pictures or texts a step.

    Returns:
        Dictionary: `output`, `shape`, `dtype`, and `rows`, what each row is the vector of.

    Raises:
        ValueError: the preset is no CLIP.
    """
    clip = from_preset(preset)
    if not isinstance(clip, CLIP):
        raise ValueError(f"{preset} is no CLIP and has no space that pictures and texts share.")
    rows = list(paths) or list(texts)
    call = clip.embed_images if paths else clip.embed_texts
    vectors = call(rows, batch_size=batch_size)
    save(vectors, Path(output))
    return {
        "output": str(output),
        "shape": list(vectors.shape),
        "dtype": str(vectors.dtype),
        "rows": rows,
    }


def save(array, path):
    """Write a .npy file under exactly this name, by way of a temporary one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(part, "wb") as file:
            np.save(file, array)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def show_embedded(result):
    """Print what has been written."""
    count, dim = result["shape"]
    what = f"{count} vectors of {dim} numbers, {result['dtype']}, unit length"
    terminal.console().print(f"[bold]{escape(result['output'])}[/bold]: {what}")
