"""One part of a job: its pictures to vectors, its files, and the record that it is done."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_clip.bulk import files
from keras_clip.bulk.formats import part_files
from keras_clip.data import Batch
from keras_clip.models.batching import map_rows

RECORD = ".done.json"  # written last: a part without it counts for nothing


@dataclass(frozen=True)
class Part:
    """The pictures `first` to `last` (excluded) of a job, cut into batches by themselves.

    A batch never reaches over the end of a part, so that what is computed together, and with it
    every last bit, does not depend on where a run was killed.
    """

    number: int
    first: int
    last: int

    @property
    def name(self):
        """What its files are called before the suffix."""
        return f"part-{self.number:05d}"

    def batches(self, batch_size):
        """Its batches, ranges of rows of the job."""
        starts = range(self.first, self.last, batch_size)
        return [range(start, min(start + batch_size, self.last)) for start in starts]


def all_parts(count, part_rows):
    """The parts of a job of `count` pictures."""
    starts = range(0, count, part_rows)
    return [Part(k, i, min(i + part_rows, count)) for k, i in enumerate(starts)]


def make_part(directory, settings, part, pictures, batches, embed_pixels):
    """Compute one part and write it.

    Args:
        directory: path.
        settings: Settings.
        part: Part.
        pictures: Pictures of the part alone.
        batches: iterator of its decoded batches; rows count from the part's first picture.
        embed_pixels: function from pixels of k pictures to (k, dim) vectors.

    Returns:
        Its record, a dictionary: `rows`, `files` with length and digest, `failures`.

    Raises:
        OSError: it cannot be written.
    """
    rows, failures, captions = [], [], None if pictures.captions is None else []
    vectors = [np.empty((0, settings.dim), settings.dtype)]
    for batch in batches:
        if captions is not None:
            batch, texts = _with_captions(batch, pictures.captions)
            captions += texts
        if batch.rows:
            found = np.asarray(embed_pixels(batch.pixels)).astype(settings.dtype)
            if found.shape != (len(batch.rows), settings.dim):
                expected = (len(batch.rows), settings.dim)
                raise ValueError(f"The model gave vectors of {found.shape}, not {expected}.")
            vectors.append(found)
            rows += batch.rows
        failures += [{"key": pictures.keys[row], "reason": why} for row, why in batch.errors]
    directory = Path(directory)
    made = part_files(settings, part.name, pictures, rows, np.concatenate(vectors), captions)
    record = {
        "rows": len(rows),
        "files": {name: files.write(directory / name, data) for name, data in made.items()},
        "failures": failures,
    }
    files.write(directory / f"{part.name}{RECORD}", json.dumps(record).encode())
    return record


def _with_captions(batch, captions):
    """The batch without pictures whose captions cannot be read, and the captions of the others."""
    kept, texts, errors = [], [], list(batch.errors)
    for place, row in enumerate(batch.rows):
        try:
            texts.append(captions[row])
            kept.append(place)
        except (OSError, ValueError) as error:
            errors.append((row, f"its captions cannot be read: {error}"))
    if len(kept) == len(batch.rows):
        return batch, texts
    pixels = map_rows(lambda x: x[kept], batch.pixels)
    return Batch([batch.rows[place] for place in kept], pixels, errors), texts
