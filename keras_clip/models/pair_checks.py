"""Checks that keep contrastive training from being silently meaningless."""

import keras

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


def check_chunks(tower, training):
    """Raise a ValueError where a tower's training is no sum over chunks."""
    if training and any(
        isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        for layer in tower._flatten_layers()
    ):
        raise ValueError(
            f"The tower {tower.name!r} has batch norms, whose statistics are of the whole batch, "
            "so that chunks would change the gradients: compile without chunk_size, or freeze them "
            "with trainable = False."
        )


def check_counts(images, texts, groups, captions):
    """Return both embeddings, after a check of their numbers.

    Raises:
        ValueError: fewer than two pairs, unequal numbers, or not one group a pair.
    """
    count, texts_count = images.shape[0], texts.shape[0]
    if count is not None and texts_count is not None:
        if count * captions != texts_count:
            raise ValueError(
                f"A batch holds {count} images but {texts_count // captions} texts, which are no "
                "pairs."
            )
        if count < 2:
            raise ValueError(TOO_SMALL)
    elif keras.backend.backend() == "tensorflow":
        # This graph does not know its batch size, so it checks while it runs.
        import tensorflow as tf

        enough = tf.debugging.assert_greater(tf.shape(images)[0], 1, TOO_SMALL)
        equal = tf.debugging.assert_equal(
            tf.shape(images)[0] * captions, tf.shape(texts)[0], "A batch holds no pairs."
        )
        with tf.control_dependencies([enough, equal]):
            images, texts = tf.identity(images), tf.identity(texts)
    if groups is not None and tuple(groups.shape[1:]) not in ((), (1,)):
        raise ValueError(f"y is one integer a pair, (n,), not {tuple(groups.shape)}.")
    return images, texts


def check_batches(clip, x, y, batch_size):
    """Raise beforehand what can be foreseen of arrays.

    Raises:
        ValueError: see `Contrastive.fit`.
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


def check_inputs(x):
    """Raise a ValueError where a dictionary of arrays lacks an input."""
    missing = [key for key in INPUTS if key not in x]
    if missing:
        raise ValueError(f"The data has no {missing}: a CLIP takes a dictionary with {INPUTS}.")
