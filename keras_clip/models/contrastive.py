"""The contrastive losses, and the checks that keep it from being silently meaningless."""

from contextlib import contextmanager

import keras
from keras import ops

from keras_clip.models.batching import num_rows

INPUTS = ("images", "token_ids")
TOO_SMALL = (
    "The contrastive loss needs batches of at least 2 image-text pairs, since the other pairs of "
    "a batch are what a pair is told from: raise batch_size, or drop a last batch of 1."
)


def contrastive_loss(logits):
    """Symmetric cross entropy with the pairs on the diagonal: (n, n) -> scalar float32.

    Raises:
        ValueError: fewer than two pairs, or unequal numbers of images and texts.

    Reference: "Learning Transferable Visual Models" (arXiv 2103.00020), figure 3.
    """
    logits = _check_pairs(ops.cast(logits, "float32"))
    labels = ops.arange(ops.shape(logits)[0])
    by_image = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    by_text = ops.sparse_categorical_crossentropy(labels, ops.transpose(logits), from_logits=True)
    return (ops.mean(by_image) + ops.mean(by_text)) / 2


def sigmoid_loss(logits):
    """Sum over texts, mean over images, of each pair's binary cross entropy: (n, n) -> scalar.

    Raises:
        ValueError: as `contrastive_loss`.

    Reference: "Sigmoid Loss for Language Image Pre-Training" (arXiv 2303.15343), section 3.2.
    """
    logits = _check_pairs(ops.cast(logits, "float32"))
    signs = 2 * ops.eye(ops.shape(logits)[0], dtype="float32") - 1
    return -ops.mean(ops.sum(ops.log_sigmoid(signs * logits), axis=-1))


def _check_pairs(logits):
    images, texts = logits.shape
    if images is not None and texts is not None:
        if images != texts:
            raise ValueError(
                f"A batch holds {images} images but {texts} texts, which are no pairs."
            )
        if images < 2:
            raise ValueError(TOO_SMALL)
    elif keras.backend.backend() == "tensorflow":
        # This graph does not know its batch size, so it checks while it runs.
        import tensorflow as tf

        with tf.control_dependencies(
            [tf.debugging.assert_greater(tf.shape(logits)[0], 1, TOO_SMALL)]
        ):
            logits = tf.identity(logits)
    return logits


def check_batches(x, batch_size):
    """Raise beforehand what can be foreseen: no data, or arrays that leave a batch of 1.

    Raises:
        ValueError: a missing input, or see `contrastive_loss`.
    """
    if x is None:
        raise ValueError('This needs data: {"images": ..., "token_ids": ...}, or a dataset of it.')
    if isinstance(x, dict):
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


def _state(model):
    """All that changes while a model trains: weights, the optimizer's variables, metrics."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return model.variables
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    return [*model.variables, *optimizer.variables, *model.metrics_variables]


@contextmanager
def kept_weights(model):
    """Leave a model with its weights when training stops with an error.

    While it trains, Keras on JAX takes the arrays out of the variables, and an error would leave
    them empty. Holding the old arrays costs no memory, since each step donates them.
    """
    jax = keras.backend.backend() == "jax"
    held = [(variable, variable.value) for variable in _state(model)] if jax else []
    try:
        yield
    except BaseException as error:
        if jax:
            model.jax_state_sync()
            for variable, value in held:
                if variable._value is None and not value.is_deleted():
                    variable.assign(value)
        if TOO_SMALL in str(error) and not isinstance(error, ValueError):
            raise ValueError(TOO_SMALL) from None
        raise
