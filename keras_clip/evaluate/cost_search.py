"""The search for the C of a linear probe, and what a linear head gets right."""

from typing import NamedTuple

import numpy as np

from keras_clip.evaluate import metrics
from keras_clip.evaluate.feature_rows import block_rows, blocks, work_dtype
from keras_clip.evaluate.logistic_regression import Fit, LogisticRegression
from keras_clip.models.batching import track

STEPS = 96  # from 1e-6 to 1e6: 8 a decade
_COARSE = 16
_MOST = 15  # fits: 7 coarse ones, and 2 for each of 4 halvings


class CostSearch(NamedTuple):
    """What a search has found.

    Args:
        C: float, the best.
        fit: Fit of the training examples at this C.
        sweep: {C: validation accuracy}, in the order of C.
        iterations: int, steps of L-BFGS in all fits.
    """

    C: float
    fit: Fit
    sweep: dict
    iterations: int


def cost(place):
    """The C of a step, 0 to 96: 1e-6 to 1e6."""
    return float(10 ** (12 * place / STEPS - 6))


def search_cost(train, held_out, num_classes, progress=None):
    """Find the C that is best on held-out examples: CostSearch.

    Of equal accuracies the C nearer to 1 is better: where classes are well apart, the ends of the
    range give answers of no confidence, or of so much that a fit takes hundreds of steps.

    Args:
        train: (features (n, dim), labels (n,)).
        held_out: (features (m, dim), labels (m,)).
        num_classes: int, K.
        progress: bool or None. None: a bar on a terminal.
    """
    problem = LogisticRegression(train, num_classes=num_classes)
    fits, scores = {}, {}

    def score(place):
        nearest = min(fits, key=lambda other: abs(other - place), default=None)
        fits[place] = problem.fit(cost(place), fits.get(nearest))
        confusion = scored(fits[place].weights, fits[place].bias, *held_out)
        scores[place] = np.trace(confusion) / confusion.sum()
        return scores[place]

    steps = search(score)
    best = list(track(steps, "Searching C", progress, _MOST))[-1]
    sweep = {cost(place): float(scores[place]) for place in sorted(scores)}
    return CostSearch(cost(best), fits[best], sweep, sum(fit.iterations for fit in fits.values()))


def search(score):
    """Climb to the best of the steps 0 to 96, and yield after each call which is the best so far.

    Every 16th is tried, then those half as far to both sides of the best, and so on.

    Args:
        score: function of a step; larger is better. Of equals the one nearer the middle is taken.

    Reference: "Learning Transferable Visual Models" (arXiv 2103.00020), appendix A.3.
    """
    tried, distance = {}, _COARSE
    places = range(0, STEPS + 1, _COARSE)
    while True:
        for place in places:
            tried[place] = score(place)
            peak = max(tried, key=lambda step: (tried[step], -abs(step - STEPS // 2), -step))
            yield peak
        if distance == 1:
            return
        distance //= 2
        places = [p for p in (peak - distance, peak + distance) if 0 <= p <= STEPS]


def scored(weights, bias, features, labels):
    """Confusion matrix (K, K) of a linear head on (n, dim) features."""
    confusion = np.zeros((len(bias), len(bias)), "int64")
    dtype = work_dtype(features)
    weights, bias = weights.astype(dtype), bias.astype(dtype)
    for part in blocks(len(labels), block_rows(max(weights.shape))):
        logits = features[part].astype(dtype, copy=False) @ weights + bias
        confusion += metrics.confusion_matrix(labels[part], logits.argmax(axis=1), len(bias))
    return confusion
