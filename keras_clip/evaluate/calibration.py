"""Probabilities to act on: temperature and bias, fitted on a few examples."""

from dataclasses import asdict, dataclass

import keras
import numpy as np

from keras_clip.data.labels import class_numbers
from keras_clip.evaluate.metrics import expected_calibration_error, first_answers
from keras_clip.models import zero_shot

FOLDS = 5
SPREADS = (0.0, 0.3, 1.0)
_STEPS, _HALVINGS = 100, 30
_FIRM = 1e9  # what a parameter that must not move is held with


@dataclass(frozen=True)
class Calibration:
    """What has been fitted, and what it is worth on examples that it was not fitted on.

    Args:
        temperature: float; logits are divided by it.
        bias: (K,) float32; added to them afterwards.
        error_before: expected calibration error of the classifier as it was, 0 to 1.
        error_after: that of the calibrated one, by cross-validation.
        loss_before: mean negative log likelihood of an answer, in nats.
        loss_after: likewise, by cross-validation.
        examples: their number.
    """

    temperature: float
    bias: np.ndarray
    error_before: float
    error_after: float
    loss_before: float
    loss_after: float
    examples: int

    def to_dict(self):
        """Plain values, for JSON."""
        return {**asdict(self), "bias": self.bias.tolist()}


def calibrate(classifier, images, labels, bias_spread=None, batch_size=32):
    """Calibrate a zero-shot classifier on a few labelled examples.

    Args:
        classifier: what `clip.zero_shot_classifier` made, with a softmax or a sigmoid.
        images: n of what it takes, normalised pixels.
        labels: (n,) int, the right class; after a sigmoid (n, K) of 0 and 1, since none or several
            classes may be right: 0.5 is then the threshold of each.
        bias_spread: float. How far from one another the classes' biases are expected to lie, in
            nats; few examples move them less, many more. 0: no bias a class. None: 0, 0.3 or 1,
            or to leave the classifier as it is, whichever is best by cross-validation.
        batch_size: int.

    Returns:
        (classifier, Calibration): a new classifier, which shares the image tower.

    Raises:
        ValueError: it is no such classifier or gives logits, or labels that do not fit.

    Reference: "On Calibration of Modern Neural Networks" (arXiv 1706.04599), section 4.
    """
    zero_shot.head_weights(classifier)
    activation = classifier.get_layer("predictions").activation
    head = keras.Model(classifier.input, classifier.get_layer("head").output)
    logits = head.predict(images, batch_size=batch_size, verbose=0)
    found = fit_calibration(logits, labels, activation, bias_spread)
    return zero_shot.rescaled(classifier, found.temperature, found.bias), found


def fit_calibration(logits, labels, activation="softmax", bias_spread=None, seed=0):
    """Fit temperature and bias to logits: (n, K), labels as for `calibrate` -> Calibration.

    Raises:
        ValueError: fewer than two examples, or labels that do not fit the logits or activation.
    """
    logits = np.asarray(logits, "float64")
    targets = _targets(logits, labels, activation)
    folds = np.random.default_rng(seed).permutation(len(logits)) % min(FOLDS, len(logits))
    spreads = [None, *SPREADS] if bias_spread is None else [bias_spread]
    outside = [_held_out(logits, targets, activation, spread, folds) for spread in spreads]
    losses = [_loss(found, targets, activation) for found in outside]
    best = int(np.argmin(losses))
    slope, bias = _fit(logits, targets, activation, spreads[best])
    return Calibration(
        float(1 / slope),
        bias.astype("float32"),
        _error(logits, targets, activation),
        _error(outside[best], targets, activation),
        _loss(logits, targets, activation) / len(logits),
        losses[best] / len(logits),
        len(logits),
    )


def _held_out(logits, targets, activation, spread, folds):
    """Calibrated logits of each example by a fit to the other folds."""
    found = np.empty_like(logits)
    for fold in range(folds.max() + 1):
        test = folds == fold
        slope, bias = _fit(logits[~test], targets[~test], activation, spread)
        found[test] = slope * logits[test] + bias
    return found


def _targets(logits, labels, activation):
    """The labels as (n, K) of 0 and 1, checked."""
    labels = np.asarray(labels)
    if logits.ndim != 2 or len(logits) < 2:
        raise ValueError(f"Calibration needs at least two examples, (n, K), not {logits.shape}.")
    if not np.all(np.isfinite(logits)):
        raise ValueError("The logits have values that are not finite.")
    if activation == "sigmoid":
        if labels.shape != logits.shape or not np.all((labels == 0) | (labels == 1)):
            raise ValueError(
                f"After a sigmoid, labels are 0 or 1 for each class, {logits.shape}, not "
                f"{labels.shape}."
            )
        return labels.astype("float64")
    if activation != "softmax":
        raise ValueError("Logits are not calibrated: take a classifier with softmax or sigmoid.")
    labels = class_numbers(labels)
    if labels.shape != logits.shape[:1]:
        raise ValueError(f"labels is one int an example, {logits.shape[:1]}, not {labels.shape}.")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(f"labels are 0 to {logits.shape[1] - 1}, not up to {labels.max()}.")
    return np.eye(logits.shape[1])[labels]


def _fit(logits, targets, activation, bias_spread):
    """(slope, (K,) bias) of least penalised loss, by Gauss-Newton steps on log slope and bias."""
    classes = logits.shape[1]
    if bias_spread is None:
        return 1.0, np.zeros(classes)
    firmness = 1 / bias_spread**2 if bias_spread else _FIRM
    # After a softmax a common bias changes nothing; after a sigmoid it is free.
    common = np.full((classes, classes), 1 / classes) if activation == "sigmoid" else 0.0
    penalty = np.zeros((classes + 1, classes + 1))
    penalty[0, 0] = 1.0
    penalty[1:, 1:] = firmness * (np.eye(classes) - common)
    start = np.zeros(classes + 1)
    if activation == "sigmoid":  # far from the data, a sigmoid has no slope to follow
        share = np.clip(targets.mean(), 1e-3, 1 - 1e-3)
        start[1:] = np.log(share / (1 - share)) - logits.mean()

    def value(x):
        loss = _loss(np.exp(x[0]) * logits + x[1:], targets, activation)
        return loss + 0.5 * x @ penalty @ x

    x, current = start, value(start)
    for _ in range(_STEPS):
        gradient, curvature = _derivatives(x, logits, targets, activation)
        gradient = gradient + penalty @ x
        curvature = curvature + penalty + 1e-9 * np.eye(classes + 1)
        step = np.linalg.solve(curvature, gradient)
        for halving in range(_HALVINGS):
            moved = x - step / 2**halving
            lower = value(moved)
            if lower < current:
                break
        else:
            break
        x, gain, current = moved, current - lower, lower
        if gain < 1e-10 * (1 + abs(current)):
            break
    return np.exp(x[0]), x[1:]


def _derivatives(x, logits, targets, activation):
    """Gradient and Gauss-Newton curvature of the loss by (log slope, bias)."""
    scaled = np.exp(x[0]) * logits
    p = zero_shot.probabilities(scaled + x[1:], activation)
    rest = p - targets
    gradient = np.concatenate([[np.sum(rest * scaled)], rest.sum(axis=0)])
    if activation == "sigmoid":
        weight, centred = p * (1 - p), scaled
        square = np.diag(weight.sum(axis=0))
    else:
        weight, centred = p, scaled - np.sum(p * scaled, axis=1, keepdims=True)
        square = np.diag(p.sum(axis=0)) - p.T @ p
    mixed = np.sum(weight * centred, axis=0)
    corner = np.sum(weight * centred**2)
    return gradient, np.block([[np.array([[corner]]), mixed[None]], [mixed[:, None], square]])


def _error(logits, targets, activation):
    """Expected calibration error; after a sigmoid, each class is an answer of its own."""
    probabilities = zero_shot.probabilities(logits, activation)
    if activation == "sigmoid":
        return expected_calibration_error(probabilities.ravel(), targets.ravel())
    return expected_calibration_error(*first_answers(probabilities, np.argmax(targets, axis=1)))


def _loss(logits, targets, activation):
    """Negative log likelihood, summed."""
    if activation == "sigmoid":
        return float(np.sum(np.logaddexp(0, logits) - targets * logits))
    return float(np.sum(np.logaddexp.reduce(logits, axis=1) - np.sum(targets * logits, axis=1)))
