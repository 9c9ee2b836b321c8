"""New and changed pictures through the model and into the database, commit by commit."""

import io
import time
from datetime import UTC, datetime

import numpy as np

from keras_clip.data import decoded
from keras_clip.models.batching import track, unit_rows
from keras_clip.search.changes import stamps_of
from keras_clip.search.errors import SearchError

COMMIT = 4096  # pictures
SECONDS = 30  # between two commits: what a killed update loses at most


def embed_into(database, pictures, processor, embed, batch_size=32, progress=None):
    """Embed pictures and commit them now and then.

    Args:
        database: Database.
        pictures: Pictures, all new or changed.
        processor: image processor of the model.
        embed: function from what the processor makes of (b,) pictures to (b, D) vectors of
            any length.
        batch_size: int.
        progress: bool or None. None: a bar for long work on a terminal.
    """
    stamps = stamps_of(pictures)  # before they are read: who writes meanwhile is seen next time
    good, bad, last = [], [], time.monotonic()
    steps = track(range(0, len(pictures), batch_size), "Indexing", progress)
    for _, batch in zip(steps, decoded(pictures, processor, batch_size), strict=True):
        if batch.rows:
            vectors = _checked(embed(batch.pixels), pictures, batch.rows)
            good += _good(pictures, batch.rows, vectors, stamps)
        bad += [{**_file(pictures, row, stamps), "reason": why} for row, why in batch.errors]
        if len(good) + len(bad) >= COMMIT or time.monotonic() - last > SECONDS:
            database.replace(good, bad)
            good, bad, last = [], [], time.monotonic()
    database.replace(good, bad)


def _good(pictures, rows, vectors, stamps):
    now, found = datetime.now(UTC), []
    for row, vector in zip(rows, vectors, strict=True):
        width, height = _dimensions(pictures.read(row))
        found.append(
            {
                **_file(pictures, row, stamps),
                "width": width,
                "height": height,
                "added": now,
                "vector": vector,
            }
        )
    return found


def _file(pictures, row, stamps):
    size, modified = (int(column[row]) for column in stamps)
    return {"path": pictures.keys[row], "size": size, "modified": modified}


def _checked(vectors, pictures, rows):
    """The vectors, of unit length; one that is no number would match nothing, silently."""
    vectors = unit_rows(np.asarray(vectors, "float32"))
    wrong = ~np.isfinite(vectors).all(axis=1)
    if wrong.any():
        row = rows[int(np.argmax(wrong))]
        raise SearchError(f"{pictures.keys[row]}: the model's vector of it is not finite.")
    return vectors


def _dimensions(source):
    """Width and height in pixels, from the head of a file that has been decoded before."""
    from PIL import Image

    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        return image.size
