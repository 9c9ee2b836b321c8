"""Pictures decoded by threads, ahead of whoever computes with them."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from keras_clip.preprocessing.image_files import ImageError
from keras_clip.preprocessing.images import core_count


class Batch(NamedTuple):
    """What `decoded` gives.

    Args:
        rows: list of k int, the rows of the pictures that could be decoded.
        pixels: what the processor makes of those, such as (k, H, W, 3) float32; None where k is 0.
        errors: list of (row, reason) for the others; the reason does not repeat the path.
    """

    rows: list
    pixels: np.ndarray | dict | None
    errors: list


def decoded(pictures, processor, batch_size, workers=None, ahead=2):
    """Decode pictures batch by batch, in their order, while the caller computes.

    Args:
        pictures: Pictures.
        processor: image processor of a model: [what `read()` gives] -> (1, H, W, 3), or a
            dictionary of such.
        batch_size: int. Pictures a batch, those that are broken included.
        workers: threads; None: one a core. Pillow lets go of the interpreter while it decodes.
        ahead: batches to decode beyond the one that is being computed with.

    Yields:
        Batch. A picture that cannot be used is among its errors.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is at least 1, not {batch_size}.")
    starts = range(0, len(pictures), batch_size)
    ranges = [range(start, min(start + batch_size, len(pictures))) for start in starts]
    yield from decoded_ranges(pictures, processor, ranges, workers, ahead)


def decoded_ranges(pictures, processor, ranges, workers=None, ahead=2):
    """Decode pictures as `decoded` does, by batches that are given, each a range of rows."""
    pool = ThreadPoolExecutor(workers or core_count(), thread_name_prefix="decoding")

    def decode(row):
        name = None
        try:
            source = pictures.read(row)
            name = source if isinstance(source, str) else "The image bytes"
            return processor([source])
        except ImageError as error:
            return ImageError(str(error).removeprefix(f"{name}: "))

    try:
        pending = deque()
        for rows in ranges:
            pending.append((rows, [pool.submit(decode, row) for row in rows]))
            if len(pending) > ahead:
                yield _batch(*pending.popleft())
        while pending:
            yield _batch(*pending.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _batch(rows, futures):
    good, parts, errors = [], [], []
    for row, future in zip(rows, futures, strict=True):
        result = future.result()
        if isinstance(result, ImageError):
            errors.append((row, str(result)))
        else:
            good.append(row)
            parts.append(result)
    return Batch(good, _stacked(parts) if parts else None, errors)


def _stacked(parts):
    if isinstance(parts[0], dict):
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return np.concatenate(parts)
