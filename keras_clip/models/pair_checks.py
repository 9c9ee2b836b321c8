"""Checks that keep contrastive training from being silently meaningless."""

import numpy as np
from keras import tree

from keras_clip.models.batching import num_rows
from keras_clip.models.contrastive import ContrastiveLoss

INPUTS = ("images", "token_ids")
TOO_SMALL = (
    "The contrastive loss needs batches of at least 2 image-text pairs, since the other pairs of "
    "a batch are what a pair is told from: raise batch_size, or drop a last batch of 1."
)


def check_loss(loss, config):
    """Raise a ValueError unless this is a loss that fits a model's configuration."""
    if not isinstance(loss, ContrastiveLoss):
        raise ValueError(
            "loss is None or a keras_clip.train.ContrastiveLoss, since a CLIP learns from pairs, "
            f"not {loss!r}."
        )
    if config.is_sigmoid and loss.label_smoothing:
        raise ValueError(
            "This model judges each pair by a sigmoid, which has no label smoothing: leave "
            "label_smoothing at 0."
        )


def check_weights(arguments):
    """Raise a ValueError where some samples shall count more than others."""
    for name in ("sample_weight", "class_weight"):
        if arguments.get(name) is not None:
            raise ValueError(f"A contrastive loss knows no {name}: leave it out.")


def check_counts(batch, groups, captions):
    """Check the numbers of a batch's embeddings.

    A graph of TensorFlow that does not know its batch size puts the check into the batch, which
    then is done where the step runs.

    Args:
        batch: {"image_embeddings", "text_embeddings"}.
        groups: (n,) or None.
        captions: int. Texts an image.

    Raises:
        ValueError: fewer than two pairs, unequal numbers, or not one group a pair.
    """
    if groups is not None and tuple(groups.shape[1:]) not in ((), (1,)):
        raise ValueError(f"y is one integer a pair, (n,), not {tuple(groups.shape)}.")
    images, texts = (batch[name].shape[0] for name in ("image_embeddings", "text_embeddings"))
    if images is None or texts is None:
        _check_in_graph(batch, captions)
    elif images * captions != texts:
        raise ValueError(
            f"A batch holds {images} images but {texts // captions} texts, which are no pairs."
        )
    elif images < 2:
        raise ValueError(TOO_SMALL)


def _check_in_graph(batch, captions):
    import tensorflow as tf

    images, texts = (tf.shape(batch[name])[0] for name in ("image_embeddings", "text_embeddings"))
    checks = [
        tf.debugging.assert_greater(images, 1, TOO_SMALL),
        tf.debugging.assert_equal(images * captions, texts, "The images and texts are no pairs."),
    ]
    with tf.control_dependencies(checks):
        batch["image_embeddings"] = tf.identity(batch["image_embeddings"])


def check_batches(clip, x, y, batch_size):
    """Raise beforehand what can be foreseen of arrays: see `Contrastive.fit`.

    Raises:
        ValueError: that.
    """
    if x is None:
        raise ValueError('This needs data: {"images": ..., "token_ids": ...}, or a dataset of it.')
    if not isinstance(x, dict):
        return
    check_inputs(x)
    images, texts = num_rows(x["images"]), len(x["token_ids"])
    if images != texts:
        raise ValueError(f"There are {images} images but {texts} texts: training needs pairs.")
    if min(images, batch_size) < 2 or images % batch_size == 1:
        raise ValueError(TOO_SMALL)
    pixels = x["images"].items() if isinstance(x["images"], dict) else [("images", x["images"])]
    for name, values in pixels:
        if isinstance(values, np.ndarray):
            _check_finite(name, values)
    if isinstance(x["token_ids"], np.ndarray):
        _check_token_ids(x["token_ids"], clip.config.text)
    _check_groups(x["token_ids"], y, clip.contrastive_loss)


def _check_finite(name, values):
    for start in range(0, len(values) if values.dtype.kind == "f" else 0, 256):
        part = values[start : start + 256]
        # A sum that is finite holds nothing else, and needs no memory.
        if not np.isfinite(part.sum(dtype="float64")):
            wrong = ~np.isfinite(part).reshape(len(part), -1).all(axis=1)
            if wrong.any():
                raise ValueError(
                    f"{name}: row {start + int(np.argmax(wrong))} holds NaN or an infinity, which "
                    "would reach every weight: leave it out, or read the picture again."
                )


def _check_token_ids(token_ids, text):
    if token_ids.ndim not in (2, 3) or token_ids.dtype.kind not in "iu":
        raise ValueError(
            "token_ids are integers, (n, T), or (n, K, T) for K captions an image, not "
            f"{token_ids.dtype} {token_ids.shape}: `clip.tokenizer` makes them."
        )
    if token_ids.shape[-1] > text.context_length:
        raise ValueError(
            f"Rows of token_ids have {token_ids.shape[-1]} ids, but the model takes "
            f"{text.context_length} at most."
        )
    wrong = (token_ids < 0) | (token_ids >= text.vocabulary_size)
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"token_ids: row {place[0]} holds the id {token_ids[place]}, but the model knows 0 to "
            f"{text.vocabulary_size - 1}: was another tokenizer used?"
        )


def _check_groups(token_ids, y, loss):
    if y is not None and isinstance(y, (np.ndarray, list)):
        y = np.asarray(y)
        if y.shape not in ((len(token_ids),), (len(token_ids), 1)) or y.dtype.kind not in "iu":
            raise ValueError(
                f"y is one integer a pair, ({len(token_ids)},), not {y.dtype} {y.shape}."
            )
        if (y == y[0]).all():
            raise ValueError("All pairs have the same y, so that none is told from another.")
    elif y is None and isinstance(token_ids, np.ndarray) and loss is not None:
        rows = token_ids.reshape(-1, token_ids.shape[-1])
        if (rows == rows[0]).all() and not loss.match_duplicates:
            raise ValueError(
                f"All {len(rows)} captions are the same, so that none can be told from another."
            )


def check_inputs(x):
    """Raise a ValueError where an input is missing, of which Keras before 3.15 says less."""
    by_name = isinstance(x, dict)
    missing = [key for key in INPUTS if key not in x] if by_name else INPUTS[len(tree.flatten(x)) :]
    if missing:
        raise ValueError(f"The data has no {missing}: a CLIP takes a dictionary with {INPUTS}.")
