"""The job: every picture of a source to a vector in a directory, or to a reason why not."""

import contextlib
import re
import time
from collections import Counter
from itertools import islice
from pathlib import Path

from filelock import FileLock, Timeout

from keras_clip.bulk import files, manifest
from keras_clip.bulk.formats import import_pyarrow
from keras_clip.bulk.parts import all_parts, make_part
from keras_clip.bulk.progress import bar
from keras_clip.data.decoding import Batch, decoded_ranges


def embed(
    embed_pixels, processor, pictures, directory, settings, *, workers=None, progress=None,
    engine=None,
):  # fmt: skip
    """Embed pictures into a directory of parts, which a run that was killed goes on with.

    However often it was killed, the directory is byte for byte that of one whole run on such a
    machine. A picture that cannot be used is a failure in the manifest, with its reason.

    Args:
        embed_pixels: function from what `processor` makes of k pictures to (k, dim) vectors.
        processor: image processor of the model.
        pictures: Pictures.
        directory: path, made where it is not there.
        settings: Settings.
        workers: threads that decode; None: one a core.
        progress: bool or None. None: a bar on a terminal.
        engine: RayEngine, which computes the parts on a cluster; None: this process does.

    Returns:
        Dictionary: `directory`, `pictures`, `rows`, `parts`, `failures` (counts by reason), `done`
        (pictures of this run), `seconds`, and `finished_before`, whether there was nothing to do.

    Raises:
        ValueError: the directory was made with something else, or holds other files.
        OSError: another run writes there, or the disk is full; what is done is kept.
    """
    directory = Path(directory)
    header = settings.header(pictures, processor)
    if settings.format == "parquet":
        import_pyarrow()
    begun = time.perf_counter()
    manifest.agree(directory, header)  # before a directory is made, or a lock put into another's
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        parts, records, known = _state(directory, header, pictures, settings)
        todo = [part for part in parts if part.number not in records]
        if known is None:
            manifest.begin(directory, header)
        files.remove_temporary(directory)
        count = sum(part.last - part.first for part in todo)
        compute = engine or _Local(embed_pixels, processor, workers)
        with bar(len(pictures), len(pictures) - count, progress) as advance:
            for part, record in compute(directory, settings, todo, pictures, advance):
                records[part.number] = record
        ordered = [records[part.number] for part in parts]
        finished_before = bool(known and known["finished"] and not todo)
        if finished_before:
            manifest.remove_records(directory)
        else:
            manifest.finish(directory, header, ordered)
    return {
        "directory": str(directory),
        "pictures": len(pictures),
        "rows": sum(record["rows"] for record in ordered),
        "parts": len(parts),
        "failures": by_reason(ordered),
        "done": count,
        "seconds": time.perf_counter() - begun,
        "finished_before": finished_before,
    }


def plan(processor, pictures, directory, settings):
    """What `embed` would do, without a picture computed or a file written.

    Returns:
        Dictionary: `directory`, `pictures`, `parts`, `parts_done`, `bytes` of all vectors, `new`
        (there is no such directory yet) and `finished`.

    Raises:
        ValueError: as `embed`.
    """
    directory = Path(directory)
    header = settings.header(pictures, processor)
    parts, records, known = _state(directory, header, pictures, settings)
    return {
        "directory": str(directory),
        "pictures": len(pictures),
        "parts": len(parts),
        "parts_done": len(records),
        "bytes": len(pictures) * settings.dim * int(settings.dtype[-2:]) // 8,
        "new": known is None,
        "finished": bool(known and known["finished"] and len(records) == len(parts)),
    }


def by_reason(records):
    """{reason without numbers and details: how many failures}, the most frequent first."""
    reasons = (failure["reason"] for record in records for failure in record["failures"])
    counts = Counter(re.split("[:;]", re.sub(r"\d[\d,]*", "N", why))[0] for why in reasons)
    return dict(counts.most_common())


def _state(directory, header, pictures, settings):
    """The parts of a job, the records of those that are done, and the manifest or None."""
    known = manifest.agree(directory, header)
    parts = all_parts(len(pictures), settings.part_rows)
    return parts, manifest.done_parts(directory, known, parts), known


@contextlib.contextmanager
def _locked(directory):
    lock = FileLock(directory / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise OSError(f"{directory}: another run is writing there; wait for its end.") from error
    try:
        yield
    finally:
        lock.release()


class _Local:
    """Computes parts in this process, pictures decoded ahead over the ends of parts."""

    def __init__(self, embed_pixels, processor, workers):
        self.embed_pixels, self.processor, self.workers = embed_pixels, processor, workers

    def __call__(self, directory, settings, todo, pictures, advance):
        """Yield (part, record) of each part once it is on the disk."""
        cuts = [part.batches(settings.batch_size) for part in todo]
        ranges = [one for part in cuts for one in part]
        stream = decoded_ranges(pictures, self.processor, ranges, self.workers)
        with contextlib.closing(stream):
            for part, cut in zip(todo, cuts, strict=True):
                batches = _of_part(islice(stream, len(cut)), part.first, advance)
                rows = pictures[part.first : part.last]
                yield part, make_part(directory, settings, part, rows, batches, self.embed_pixels)


def _of_part(batches, first, advance):
    """The batches with rows that count from the part's first picture."""
    for batch in batches:
        errors = [(row - first, reason) for row, reason in batch.errors]
        yield Batch([row - first for row in batch.rows], batch.pixels, errors)
        advance(len(batch.rows) + len(errors))
