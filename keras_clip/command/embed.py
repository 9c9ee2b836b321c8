"""`keras-clip embed`: pictures or texts to unit vectors, in one .npy file or a directory."""

import functools
import io
from pathlib import Path

import keras
import numpy as np

from keras_clip import bulk
from keras_clip.command import terminal
from keras_clip.command.terminal import escape
from keras_clip.data import decoded, open_pictures
from keras_clip.models.batching import run_batch, track, unit_rows
from keras_clip.models.weights_hash import weights_hash
from keras_clip.preprocessing.atomic_file import write_bytes
from keras_clip.preprocessing.image_files import ImageError
from keras_clip.presets import from_preset


def embed_file(output, preset, sources=(), texts=(), columns=None, dtype="float32", batch_size=32):
    """Write one unit vector a picture or text into a file: (n, dim).

    Args:
        output: path of the .npy file; it is whole or not there.
        preset: whatever `from_preset` takes.
        sources: list of what `open_pictures` takes, or empty.
        texts: list of str, or empty.
        columns: as of `open_pictures`.
        dtype: `float32` or `float16`.
        batch_size: pictures or texts a step.

    Returns:
        Dictionary: `output`, `shape`, `dtype`, and `rows`, what each row is the vector of.

    Raises:
        ImageError: a picture cannot be used; the message names it.
        ValueError: the preset is no CLIP.
    """
    if texts:
        rows = list(texts)
        vectors = from_preset(preset, tower="text").embed_texts(rows, batch_size)
    else:
        pictures = _open(sources, columns)
        rows = pictures.keys if pictures.in_shards else pictures.paths
        vectors = _all_vectors(pictures, rows, *load(preset, batch_size), batch_size)
    vectors, file = vectors.astype(dtype), io.BytesIO()
    np.save(file, vectors)
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    write_bytes(output, file.getvalue())
    return {
        "output": str(output),
        "shape": list(vectors.shape),
        "dtype": str(vectors.dtype),
        "rows": rows,
    }


def embed_directory(
    output, preset, sources, columns=None, job=None, workers=None, ray=None, dry_run=False
):
    """Embed pictures into a directory, which a run that was killed goes on with.

    Args:
        output: path of the directory.
        preset, sources, columns: as of `embed_file`.
        job: dictionary of `dtype`, `format`, `batch_size` and `part_rows`, any of them, as of
            `bulk.Settings`.
        workers: threads that decode; None: one a core.
        ray: {"workers": int, "address": str or None}: the parts are computed on a Ray cluster.
        dry_run: bool. Only say what would be done.

    Returns:
        Dictionary, as of `bulk.embed` or, for a dry run, `bulk.plan`.

    Raises:
        ValueError: the directory was made with something else; or the preset is no CLIP.
    """
    pictures = _open(sources, columns)
    tower = from_preset(preset, tower="vision")
    settings = bulk.Settings(
        model=str(preset),
        weights=weights_hash(tower),
        dim=tower.output_shape[-1],
        backend=keras.backend.backend(),
        source=" ".join(map(str, sources)),
        **(job or {}),
    )
    if dry_run:
        return bulk.plan(tower.image_processor, pictures, output, settings)
    loading = functools.partial(load, str(preset), settings.batch_size)
    engine = ray and bulk.RayEngine(loading, threads=workers, **ray)
    embed_pixels, processor = _embedder(tower, settings.batch_size)
    return bulk.embed(
        embed_pixels, processor, pictures, output, settings, workers=workers, engine=engine
    )


def load(preset, batch_size):
    """A preset as the job wants it: (function from pixels to unit vectors, image processor)."""
    return _embedder(from_preset(preset, tower="vision"), batch_size)


def _embedder(tower, batch_size):
    def embed_pixels(pixels):
        return unit_rows(run_batch(tower, pixels, batch_size).astype("float32"))

    return embed_pixels, tower.image_processor


def _open(sources, columns):
    return open_pictures(sources[0] if len(sources) == 1 else sources, columns)


def _all_vectors(pictures, names, embed_pixels, processor, batch_size):
    batches = range(0, len(pictures), batch_size)
    found, stream = [], decoded(pictures, processor, batch_size)
    for _ in track(batches, "Embedding"):
        batch = next(stream)
        for row, reason in batch.errors:
            raise ImageError(f"{names[row]}: {reason}")
        found.append(embed_pixels(batch.pixels))
    return np.concatenate(found)


def show_file(result):
    """Print what has been written into a file."""
    count, dim = result["shape"]
    what = f"{count} vectors of {dim} numbers, {result['dtype']}, unit length"
    terminal.console().print(f"[bold]{escape(result['output'])}[/bold]: {what}")


def show_directory(result):
    """Print what has been written into a directory, and what could not be."""
    console, where = terminal.console(), f"[bold]{escape(result['directory'])}[/bold]"
    if result["finished_before"]:
        console.print(f"{where}: finished before, nothing to do")
    failed = sum(result["failures"].values())
    console.print(f"{where}: {result['rows']:,} vectors in {result['parts']:,} parts")
    if result["done"]:
        rate = result["done"] / result["seconds"]
        console.print(f"{result['done']:,} pictures in this run, {rate:,.1f} a second")
    if failed:
        table = terminal.table(">pictures", f"not embedded, {failed:,} (see manifest.json)")
        for reason, count in result["failures"].items():
            table.add_row(f"{count:,}", escape(reason))
        console.print(table)


def show_plan(plan):
    """Print what would be done."""
    from rich import filesize

    if plan["new"]:
        state = "a new directory"
    elif plan["finished"]:
        state = "finished: nothing would be done"
    else:
        state = f"would go on: {plan['parts_done']:,} parts are done"
    terminal.console().print(
        f"[bold]{escape(plan['directory'])}[/bold]: {state}\n{plan['pictures']:,} pictures in "
        f"{plan['parts']:,} parts, {filesize.decimal(plan['bytes'])} of vectors"
    )
