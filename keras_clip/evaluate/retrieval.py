"""How often a picture finds its captions, and a caption its picture."""

from dataclasses import asdict, dataclass

import numpy as np

from keras_clip.data import decoded
from keras_clip.data.captions import read_captions
from keras_clip.evaluate.batches import opened
from keras_clip.models.batching import map_rows, run_batch, track, unit_rows
from keras_clip.preprocessing.image_files import ImageError

BLOCK = 2048  # rows and columns at a time: 16 MB of cosines


@dataclass(frozen=True)
class Retrieval:
    """Recall in both directions.

    Args:
        image_to_text: {k: share of the pictures with a caption of theirs among the first k}.
        text_to_image: {k: share of the captions with their picture among the first k}.
        image_to_text_rank: median place of a picture's best caption, 1 the first.
        text_to_image_rank: median place of a caption's picture.
        images: number of pictures.
        texts: number of captions.
    """

    image_to_text: dict
    text_to_image: dict
    image_to_text_rank: float
    text_to_image_rank: float
    images: int
    texts: int

    def to_dict(self):
        """Plain values, for JSON."""
        return asdict(self)


def retrieval(image_vectors, text_vectors, image_of_text=None, ks=(1, 5, 10), block=BLOCK):
    """Recall at k, pictures to captions and captions to pictures, exact.

    Memory is that of the vectors and of one block of cosines, whatever the number of rows. Of equal
    cosines the first row is the better one.

    Args:
        image_vectors: (n, dim), unit length.
        text_vectors: (m, dim), unit length.
        image_of_text: (m,) int, the picture of each caption; None: caption i is that of picture i.
        ks: ints.
        block: int. Rows and columns of cosines at a time.

    Returns:
        Retrieval.

    Raises:
        ValueError: shapes do not fit, there are values that are not finite, a picture has no
            caption, or a caption no picture.
    """
    images, texts = _checked("image_vectors", image_vectors), _checked("text_vectors", text_vectors)
    if images.shape[1] != texts.shape[1]:
        raise ValueError(
            f"image_vectors have {images.shape[1]} numbers a row and text_vectors {texts.shape[1]}."
        )
    owner = _owners(image_of_text, len(images), len(texts))
    own = np.concatenate(
        [
            np.sum(texts[i : i + block] * images[owner[i : i + block]], axis=1)
            for i in range(0, len(texts), block)
        ]
    )
    by_image, by_text = _counts(images, texts, owner, own, block)
    return Retrieval(
        {int(k): float(np.mean(by_image < k)) for k in ks},
        {int(k): float(np.mean(by_text < k)) for k in ks},
        float(np.median(by_image + 1)),
        float(np.median(by_text + 1)),
        len(images),
        len(texts),
    )


def caption_retrieval(clip, dataset, ks=(1, 5, 10), batch_size=32, progress=None):
    """Measure how a CLIP matches pictures and their captions.

    Args:
        clip: CLIP with a tokenizer.
        dataset: what `keras_clip.data.open_pictures` takes, or has made, with captions.
        ks: ints.
        batch_size: int.
        progress: bool or None. None: a bar for long work on a terminal.

    Returns:
        (Retrieval, list of (key, reason) for pictures that could not be read or have no caption;
        they are left out with their captions).

    Raises:
        ValueError: there are no captions, or no picture with one can be read.
    """
    pictures = opened(dataset)
    if pictures.captions is None:
        raise ValueError(
            "The pictures have no captions: give a table with a column `caption`, or shards with "
            "`.txt`."
        )
    vision, rows, texts, owner, failures = clip.get_layer("vision"), [], [], [], []
    batches = decoded(pictures, clip.image_processor, batch_size)
    for batch in track(batches, "Embedding", progress, -(-len(pictures) // batch_size)):
        failures += [(pictures.keys[row], reason) for row, reason in batch.errors]
        captions, reasons = _captions(pictures, batch.rows)
        failures += [(pictures.keys[row], reason) for row, reason in reasons]
        kept = [place for place, some in enumerate(captions) if some]
        for place, some in enumerate(filter(None, captions), sum(map(len, rows))):
            texts += some
            owner += [place] * len(some)
        if kept:
            pixels = map_rows(lambda x, kept=kept: x[kept], batch.pixels)
            rows.append(run_batch(vision, pixels, batch_size))
    if not rows:
        raise ValueError("No pair can be read. The first, {}: {}".format(*failures[0]))
    images = unit_rows(np.concatenate(rows).astype("float32"))
    texts = clip.embed_texts(texts, progress=progress)
    return retrieval(images, texts, np.array(owner), ks), failures


def _captions(pictures, rows):
    """The captions of some rows, and a list of (row, reason) of those without."""
    found, reasons = [], []
    for row in rows:
        try:
            found.append(read_captions(pictures, row))
        except ImageError as error:
            found.append(())
            reasons.append((row, str(error)))
    return found, reasons


def _counts(images, texts, owner, own, block):
    """(n,) and (m,): how many captions beat a picture's best one; how many pictures beat its own.

    Counts over blocks add up, so that no list of neighbours is kept.
    """
    best, first = _best_captions(owner, own, len(images))
    by_image, by_text = np.zeros(len(images), "int64"), np.zeros(len(texts), "int64")
    for i in range(0, len(images), block):
        rows = np.arange(i, min(i + block, len(images)))
        for j in range(0, len(texts), block):
            columns = np.arange(j, min(j + block, len(texts)))
            cosines = images[rows] @ texts[columns].T
            mine = owner[columns] == rows[:, None]
            # A product of matrices may differ from the sum that gave `own` in the last bit.
            cosines[mine] = np.broadcast_to(own[columns], cosines.shape)[mine]
            ahead = (cosines == best[rows, None]) & (columns < first[rows, None])
            by_image[rows] += np.sum((cosines > best[rows, None]) | ahead, axis=1)
            ahead = (cosines == own[columns]) & (rows[:, None] < owner[columns])
            by_text[columns] += np.sum((cosines > own[columns]) | ahead, axis=0)
    return by_image, by_text


def _best_captions(owner, own, num_images):
    """(n,) highest cosine of a picture's own captions, and (n,) the first caption that has it."""
    best = np.full(num_images, -np.inf, own.dtype)
    np.maximum.at(best, owner, own)
    first = np.full(num_images, len(owner))
    is_best = own == best[owner]
    np.minimum.at(first, owner[is_best], np.flatnonzero(is_best))
    return best, first


def _checked(name, vectors):
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or not vectors.size:
        raise ValueError(f"{name} is (rows, dim), with at least one row, not {vectors.shape}.")
    if not np.all(np.isfinite(vectors)):
        raise ValueError(f"{name} has values that are not finite.")
    return vectors.astype("float32", copy=False)


def _owners(image_of_text, images, texts):
    """The picture of each caption, checked: (m,) int64."""
    if image_of_text is None:
        if images != texts:
            raise ValueError(
                f"There are {images} pictures and {texts} captions: say which picture each caption "
                "belongs to, image_of_text=[...]."
            )
        return np.arange(texts)
    owner = np.asarray(image_of_text)
    if owner.shape != (texts,) or owner.dtype.kind not in "iu":
        raise ValueError(f"image_of_text is one int a caption, ({texts},), not {owner.shape}.")
    if owner.min() < 0 or owner.max() >= images:
        raise ValueError(f"image_of_text names pictures 0 to {images - 1} only.")
    missing = np.flatnonzero(np.bincount(owner, minlength=images) == 0)
    if len(missing):
        raise ValueError(f"Picture {missing[0]} has no caption ({len(missing)} have none).")
    return owner.astype("int64")
