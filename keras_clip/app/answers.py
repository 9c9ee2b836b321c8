"""What the page's buttons do: pictures and texts in, answers out."""

import numpy as np

from keras_clip import plot
from keras_clip.models.dense_similarity import dense_similarity
from keras_clip.models.prompts import TEMPLATE, Prompts
from keras_clip.models.zero_shot import label_probabilities


def classify(clip, picture, labels, template=TEMPLATE):
    """Say how probable each of some labels is: {label: probability}, the best first.

    Args:
        clip: CLIP.
        picture: PIL picture.
        labels: str, separated by commas or lines.
        template: str with `{}`; empty: "a photo of a {}."

    Raises:
        ValueError: there is no picture or no label, or what the model says of them.
    """
    prompts = Prompts.from_labels(parts(labels, "labels"), template.strip() or TEMPLATE)
    images = clip.embed_images(_given(picture))
    (shares,) = label_probabilities(clip, images, clip.class_embeddings(prompts))
    best = np.argsort(-shares, kind="stable")
    return {prompts.names[k]: float(shares[k]) for k in best}


def search(clip, index, text, picture, count=12):
    """Find pictures of an index by a text, a picture, or both: list of (path, caption).

    Args:
        clip: CLIP with which the index was made.
        index: `keras_clip.search.Index`.
        text: str, may be empty.
        picture: PIL picture or None.
        count: int, pictures to find.

    Raises:
        ValueError: neither text nor picture is there, or what the index says of them.
    """
    from keras_clip.search import combine

    text, vectors = (text or "").strip(), []
    if text:
        vectors.append(clip.embed_texts(text)[0])
    if picture is not None:
        vectors.append(clip.embed_images(picture)[0])
    if not vectors:
        raise ValueError("Say what to find, or give a picture that is like it.")
    hits = index.search(combine(np.stack(vectors))[None], int(count))[0]
    return [(index.place(hit), f"{hit.cosine:.3f}  {hit.path}") for hit in hits]


def where(clip, picture, texts):
    """Draw where in a picture texts are: a matplotlib Figure.

    Args:
        clip: CLIP.
        picture: PIL picture.
        texts: str, separated by commas or lines.

    Raises:
        ValueError: there is no picture or no text.
    """
    picture, texts = _given(picture), parts(texts, "texts")
    processor = clip.image_processor
    maps = dense_similarity(clip, processor([picture]), clip.embed_texts(texts))[0]
    return plot.where(picture, maps, texts, processor.config)


def parts(text, what):
    """Texts separated by commas or lines, without empty ones.

    Raises:
        ValueError: there is none; it says of `what`.
    """
    found = [part.strip() for line in (text or "").splitlines() for part in line.split(",")]
    found = [part for part in found if part]
    if not found:
        raise ValueError(f"Give some {what}, separated by commas.")
    return found


def _given(picture):
    if picture is None:
        raise ValueError("Give a picture first.")
    return picture
