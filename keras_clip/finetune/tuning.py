"""A classifier trained by gradients, whatever of it is free to train."""

import warnings
from dataclasses import replace

import keras
import numpy as np

from keras_clip.data.labels import numbers_among
from keras_clip.finetune.class_batches import ClassBatches, OneHot
from keras_clip.finetune.examples import examples
from keras_clip.finetune.freezing import freeze_batch_norms
from keras_clip.finetune.settings import Settings, check_trainable
from keras_clip.models.kept_weights import kept_weights
from keras_clip.models.tower import make_tower

_PROBABILITIES = ("softmax", "sigmoid")


def tune(model, data, validation=None, callbacks=None, processor=None, verbose="auto", **settings):
    """Train what is free to train of a classifier, by cross entropy: its History.

    `full`, `partial`, `lora` and `only_head` say what is free. The loss is of the logits before the
    layer `predictions`: after a softmax, a picture that is very wrong has no gradient.

    Args:
        model: a classifier, such as `clip.zero_shot_classifier(...)` or a ViT with classes. Its
            weights change, and those of the models that it shares layers with.
        data: what `keras_clip.data.open_pictures` takes, with labels; (x, y): pixels (n, H, W, 3),
            normalised float or raw uint8, and class numbers (n,); or any data set that Keras's
            `fit` takes, with class numbers or shares (B, K) as labels.
        validation: the same, measured after each epoch, or None.
        callbacks: list of Keras callbacks, or None. Their `model` is the classifier without its
            last layer, of the same weights.
        processor: image processor; None: that of the model, if it has one.
        verbose: as for Keras's `fit`.
        **settings: see `keras_clip.finetune.Settings`.

    Returns:
        keras.callbacks.History.

    Raises:
        ValueError: settings, labels or pictures that do not fit, nothing that trains, or weights in
            half precision.

    Reference: "Robust fine-tuning of zero-shot models" (arXiv 2109.01903), section 2: a zero-shot
    classifier as the start.
    """
    settings = Settings(**settings)
    check_trainable(model)
    if not settings.batch_norm:
        freeze_batch_norms(model)
    logits, activation = without_predictions(model)
    processor = processor or getattr(model, "image_processor", None)
    names = getattr(model.layers[-1], "class_names", None)
    found = examples(data, processor, names, settings.augmentation)
    held_out = _alike(examples(validation, processor, names), found)
    form = _form(found, settings, activation, logits.output.shape[-1])
    batches = _batches(found, data, settings, form, True)
    steps = settings.steps_per_epoch or num_batches(batches)
    logits.compile(
        settings.make_optimizer(logits, steps * settings.epochs),
        _loss(batches, settings, activation, form),
        metrics=["accuracy"],
    )
    tested = None if validation is None else _batches(held_out, validation, settings, form, False)
    with kept_weights(logits):
        history = logits.fit(
            batches, epochs=settings.epochs, steps_per_epoch=settings.steps_per_epoch,
            validation_data=tested, callbacks=callbacks, verbose=verbose,
        )  # fmt: skip
    warn_of_failures(found, data)
    return history


def without_predictions(model):
    """A classifier before its probabilities: (model of the same layers, name of what is cut off).

    Raises:
        ValueError: its last layer makes probabilities inside of it.
    """
    last = model.layers[-1]
    if last.name == "predictions":
        logits, activation = last.input, last.activation
        activation = getattr(activation, "__name__", activation)
    else:
        logits, activation = model.outputs[0], None
        inside = getattr(getattr(last, "activation", None), "__name__", None)
        if inside in _PROBABILITIES:
            raise ValueError(
                f"{last.name!r} gives probabilities by its own {inside}: let it give logits, and "
                "put a keras.layers.Activation named `predictions` behind it."
            )
    if len(logits.shape) != 2:
        raise ValueError(f"{model.name!r} gives {logits.shape}, and no logits of classes (B, K).")
    inputs = model.inputs[0] if len(model.inputs) == 1 else model.input
    return make_tower(inputs, logits, name=model.name), activation


def num_batches(data):
    """How many batches a data set has.

    Raises:
        ValueError: it does not know.
    """
    count = getattr(data, "num_batches", None)
    if count is None and hasattr(data, "cardinality"):
        count = int(data.cardinality())
    if count is None and hasattr(data, "__len__"):
        count = len(data)
    if count is None or count < 1:
        raise ValueError("The data set does not know its length: give steps_per_epoch.")
    return count


def warn_of_failures(found, data):
    """Warn of pictures that could not be read, unless the caller gave, and so has, the Examples."""
    if found is not None and found is not data and found.failures:
        key, reason = next(iter(found.failures.items()))
        warnings.warn(
            f"{len(found.failures)} of {len(found)} pictures could not be read and were left out; "
            f"the first, {key}: {reason}",
            stacklevel=3,
        )


def _alike(held_out, found):
    """Held-out examples with the class numbers of those that are trained on."""
    if held_out is None or found is None:
        return held_out
    labels = numbers_among(
        held_out.labels, held_out.class_names, found.class_names, "classes of the training",
        by_value=True,
    )  # fmt: skip
    return replace(held_out, labels=labels)


def _form(found, settings, activation, num_classes):
    """How labels are given to the loss: OneHot, or None for class numbers."""
    if found is None:
        if settings.mix is not None:
            raise ValueError("mix is for pictures and arrays: apply the layer in the data set.")
        return None
    if found.labels.max() >= num_classes:
        raise ValueError(f"Class {found.labels.max()} is not among the model's {num_classes}.")
    shares = settings.mix is not None or settings.label_smoothing or activation == "sigmoid"
    return OneHot(num_classes, settings.mix) if shares else None


def _batches(found, data, settings, form, training):
    if found is None:
        return data
    if not training and form is not None:
        form = OneHot(form.num_classes)
    return ClassBatches(found, settings.batch_size, settings.seed, training, form)


def _loss(batches, settings, activation, form):
    """Cross entropy of logits with shares or class numbers, whichever the data gives."""
    shares = form is not None
    if not isinstance(batches, ClassBatches):
        shares = len(np.shape(next(_elements(batches))[1])) == 2
    if not shares and (settings.label_smoothing or activation == "sigmoid"):
        raise ValueError(
            "Label smoothing and sigmoids need a data set that gives shares (B, K) as labels, as "
            "keras.ops.one_hot makes them of class numbers."
        )
    if not shares:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    kind = "BinaryCrossentropy" if activation == "sigmoid" else "CategoricalCrossentropy"
    return getattr(keras.losses, kind)(from_logits=True, label_smoothing=settings.label_smoothing)


def _elements(data):
    if isinstance(data, keras.utils.PyDataset):
        return iter([data[0]])
    return iter(data)
