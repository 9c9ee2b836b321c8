"""Scores to numbers: accuracy, confusion, intervals, calibration error. NumPy only."""

import numpy as np

BINS = 15  # of the expected calibration error, as in its paper


def ranks(scores, labels):
    """Place of the right class among all: (n, K) scores, (n,) labels -> (n,) int64, 0 the best.

    Of equal scores the first class is the better one, as for argmax.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    right = np.take_along_axis(scores, labels[:, None], axis=1)
    before = np.arange(scores.shape[1]) < labels[:, None]
    return np.sum((scores > right) | ((scores == right) & before), axis=1)


def confusion_matrix(labels, predictions, num_classes):
    """How often each class was taken for each: (n,) int, (n,) int -> (K, K) int64, rows true."""
    cells = np.asarray(labels) * num_classes + np.asarray(predictions)
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def mean_per_class(confusion):
    """Mean over the classes that occur of the share that is right: (K, K) -> float."""
    totals = confusion.sum(axis=1)
    there = totals > 0
    return float(np.mean(np.diagonal(confusion)[there] / totals[there]))


def bootstrap_interval(right, total, confidence=0.95, resamples=10_000, seed=0):
    """Bootstrap interval of an accuracy: (low, high).

    Drawing n answers with replacement from n, of which some are right, is a binomial draw.

    Args:
        right: int, answers that are right.
        total: int, answers.
        confidence: share of the resamples that lie inside.
        resamples: int.
        seed: int.
    """
    shares = np.random.default_rng(seed).binomial(total, right / total, resamples) / total
    outside = (1 - confidence) / 2
    return tuple(float(share) for share in np.quantile(shares, (outside, 1 - outside)))


def first_answers(probabilities, labels):
    """Confidence in the first answer, and whether it is right: (n, K), (n,) int -> (n,), (n,)."""
    probabilities = np.asarray(probabilities)
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == np.asarray(labels)


def reliability(confidence, right, bins=BINS):
    """Mean confidence and accuracy of answers, by bins of confidence of equal width.

    Args:
        confidence: (n,) float, 0 to 1.
        right: (n,) of 0 and 1.
        bins: int.

    Returns:
        Dictionary of (bins,) arrays: `confidence` and `accuracy` (NaN for empty bins), and `count`.
    """
    confidence, right = (np.asarray(x, "float64") for x in (confidence, right))
    # Bins are open below and closed above, as in the paper.
    places = np.clip(np.ceil(confidence * bins).astype("int64") - 1, 0, bins - 1)
    count = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(places, values, bins) / count for values in (confidence, right)]
    return {"confidence": means[0], "accuracy": means[1], "count": count}


def expected_calibration_error(confidence, right, bins=BINS):
    """Mean distance of accuracy from confidence over the bins, weighted by count: float in 0..1.

    Args: as `reliability`.

    Reference: "On Calibration of Modern Neural Networks" (arXiv 1706.04599), section 2.
    """
    found = reliability(confidence, right, bins)
    gaps = np.abs(found["accuracy"] - found["confidence"])
    return float(np.nansum(gaps * found["count"]) / found["count"].sum())


def average_precision(scores, targets):
    """Mean precision at the places of what is right, a class: (n, K), (n, K) of 0, 1 -> (K,).

    Of equal scores, those that are wrong come first, so that nothing is gained by ties. A class
    that nothing belongs to has NaN.
    """
    scores, targets = np.asarray(scores), np.asarray(targets).astype(bool)
    order = np.lexsort((targets, -scores), axis=0)
    hits = np.take_along_axis(targets, order, axis=0)
    precision = np.cumsum(hits, axis=0) / np.arange(1, len(hits) + 1)[:, None]
    with np.errstate(invalid="ignore"):
        return np.sum(precision * hits, axis=0) / np.sum(hits, axis=0)
