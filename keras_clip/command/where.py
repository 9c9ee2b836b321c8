"""`keras-clip where`: where in a picture some texts are."""

import os

import numpy as np

from keras_clip import plot
from keras_clip.command import terminal
from keras_clip.command.terminal import escape
from keras_clip.models.clip import require_clip
from keras_clip.models.dense_similarity import dense_similarity
from keras_clip.preprocessing.crop_box import peak_place, seen_box
from keras_clip.preprocessing.image_files import open_image
from keras_clip.presets import from_preset

_SHADES = " ░▒▓█"


def where(image, texts, preset, image_size=None, path=None):
    """Find texts in a picture, and draw where they are.

    Args:
        image: path of a picture.
        texts: list of str.
        preset: whatever `from_preset` takes, a CLIP.
        image_size: int or None, pixels; more of them than the model's own give a finer grid.
        path: file to draw to, or None.

    Returns:
        Dictionary: `image`, `preset`; `grid`, cells down and across; `box`, (left, top, right,
        bottom) of what the model sees of the picture, in its pixels; and `texts`, each with
        `text`, `cosine`, the highest one, `peak`, (x, y) of the middle of its cell in pixels, and
        `cosines`, one a cell.

    Raises:
        ValueError: the preset is no CLIP; ImageError, one of its kind: the picture is damaged.
    """
    opened = open_image(image)  # before minutes of loading
    if path:
        plot.check_path(path)
    sized = {} if image_size is None else {"image_size": image_size}
    clip = require_clip(from_preset(preset, **sized), preset)
    processor = clip.image_processor
    maps = dense_similarity(clip, processor([opened]), clip.embed_texts(list(texts)))[0]
    if path:
        plot.save(plot.where(opened, maps, texts, processor.config), path)
    box = seen_box(processor.config, opened.height, opened.width)
    return {
        "image": os.fspath(image),
        "preset": str(preset),
        "grid": list(maps.shape[:2]),
        "box": list(box),
        "texts": [_found(text, maps[..., k], box) for k, text in enumerate(texts)],
    }


def _found(text, values, box):
    return {
        "text": text,
        "cosine": float(values.max()),
        "peak": list(peak_place(values, box)),
        "cosines": values.tolist(),
    }


def show_where(result):
    """Print each text with the place where it is, and its map in shades."""
    values = np.array([found["cosines"] for found in result["texts"]])
    low, span = values.min(), np.ptp(values) or 1.0
    table = terminal.table("text", ">cosine", ">x", ">y", "map")
    for found, cosines in zip(result["texts"], values, strict=True):
        x, y = found["peak"]
        table.add_row(
            escape(found["text"]),
            f"{found['cosine']:.2f}",
            f"{x:.0f}",
            f"{y:.0f}",
            "\n".join(_shades(line) for line in (cosines - low) / span),
            end_section=True,
        )
    terminal.console().print(table)


def _shades(shares):
    steps = np.minimum((shares * len(_SHADES)).astype(int), len(_SHADES) - 1)
    return "".join(2 * _SHADES[step] for step in steps)
