"""A head on frozen features, and full fine-tuning that starts from it."""

import numpy as np

from keras_clip import evaluate
from keras_clip.finetune.examples import examples
from keras_clip.finetune.freezing import full, only_head
from keras_clip.finetune.settings import Settings
from keras_clip.finetune.tuning import tune, warn_of_failures
from keras_clip.models.batching import run_batch
from keras_clip.models.features import feature_model

_PART = 32  # pictures


def linear_probe(model, data, C=None, class_names=None, activation="softmax", seed=0):  # noqa: N803
    """Fit a linear head to a model's features by L-BFGS: a Keras classifier.

    Args:
        model: CLIP, its image tower, or a ViT. The classifier shares its layers, and they are
            frozen: `full(classifier)` lets them train.
        data: as for `tune`.
        C: float, scikit-learn's, more regularisation where it is smaller; None: searched among 96
            with a fifth of the pictures held out.
        class_names: list of str; None: those of the data.
        activation: `softmax`, or None for logits.
        seed: int, of what is held out.

    Returns:
        keras.Model: pixels (B, H, W, 3) -> (B, K).

    Raises:
        ValueError: as `keras_clip.evaluate.linear_probe`.
        ImportError: SciPy is not installed.

    Reference: "Learning Transferable Visual Models" (arXiv 2103.00020), appendix A.3.
    """
    found = examples(data, model.image_processor, class_names)
    rows = evaluate.features(model, data)[:2] if found is None else _features(model, found)
    probe = evaluate.linear_probe(*rows, *rows, C=C, seed=seed)
    warn_of_failures(found, data)
    names = class_names or (found.class_names if found else None)
    return only_head(probe.classifier(model, names, activation))


def lp_ft(model, data, validation=None, callbacks=None, C=None, verbose="auto", **settings):  # noqa: N803
    """Fit a linear probe, then fine-tune everything from that head: a Keras classifier.

    A fresh head pulls good features apart before it has learnt anything; one that is fitted first
    does not, and what lies outside of the data suffers less.

    Args:
        model: CLIP, its image tower, or a ViT. Its weights change with the classifier's.
        data, validation, callbacks, verbose: as for `tune`. The data is read twice.
        C: as for `linear_probe`.
        **settings: see `keras_clip.finetune.Settings`.

    Returns:
        keras.Model: pixels (B, H, W, 3) -> (B, K).

    Raises:
        ValueError: as `linear_probe` and `tune`.

    Reference: "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution"
    (arXiv 2202.10054), section 3.3.
    """
    checked = Settings(**settings)
    classifier = full(linear_probe(model, data, C, seed=checked.seed), checked.batch_norm)
    processor = model.image_processor
    tune(classifier, data, validation, callbacks, processor, verbose, **settings)
    return classifier


def _features(model, found):
    """Features (n, D) and labels of the pictures that can be read, in their order."""
    tower, parts = feature_model(model), []
    for start in range(0, len(found), _PART):
        rows = np.arange(start, min(start + _PART, len(found)))
        pixels, rows = found.read(rows, [0])
        parts.append((run_batch(tower, pixels, _PART), found.labels[rows]))
    features, labels = map(np.concatenate, zip(*parts, strict=True))
    return features.astype("float32"), labels
