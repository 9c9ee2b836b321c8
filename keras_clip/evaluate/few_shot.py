"""Classification from a few examples a class, over several draws."""

from dataclasses import dataclass

import numpy as np

from keras_clip.evaluate.cost_search import scored, search_cost
from keras_clip.evaluate.feature_rows import checked_sets
from keras_clip.models.batching import track, unit_rows

SHOTS = (1, 2, 4, 8, 16)
METHODS = ("probe", "nearest_mean")
_HELD_OUT = 4  # further examples a class, at most, for the choice of C


@dataclass(frozen=True)
class FewShot:
    """Accuracy by the number of examples a class.

    Args:
        shots: (s,) tuple of int.
        mean: (s,) float64, over the draws, 0 to 1.
        deviation: (s,) float64, sample standard deviation over the draws.
        accuracies: (s, draws) float64.
        costs: (s, draws) float64, the C that was chosen; NaN without a probe.
    """

    shots: tuple
    mean: np.ndarray
    deviation: np.ndarray
    accuracies: np.ndarray
    costs: np.ndarray

    def to_dict(self):
        """Plain values, for JSON."""
        return {
            "shots": list(self.shots),
            "mean": self.mean.tolist(),
            "deviation": self.deviation.tolist(),
            "accuracies": self.accuracies.tolist(),
        }


def few_shot(
    train_features, train_labels, test_features, test_labels,
    shots=SHOTS, seeds=(0, 1, 2), method="probe", progress=None,
):  # fmt: skip
    """Measure how well a few examples a class teach a classifier: FewShot.

    Examples are drawn without replacement, as many of each class. A probe's C is found by the
    search of `linear_probe`, on min(shots, 4) further examples a class, which it is not fitted to.

    Args:
        train_features: (n, dim) array to draw from.
        train_labels: (n,) int, classes 0 to K - 1.
        test_features: (m, dim) array.
        test_labels: (m,) int, of the same classes.
        shots: ints, examples a class.
        seeds: ints, at least two; one draw each.
        method: `probe` (logistic regression), or `nearest_mean`: the class whose mean of unit
            features has the largest cosine.
        progress: bool or None. None: a bar on a terminal.

    Raises:
        ValueError: a class has too few examples, and which; or as `linear_probe`.
        ImportError: SciPy is not installed, and the method is `probe`.
    """
    if method not in METHODS:
        raise ValueError(f"method is one of {METHODS}, not {method!r}.")
    if len(seeds) < 2 or not len(shots) or min(shots) < 1:
        raise ValueError(f"shots are at least 1, seeds at least two: {shots} and {seeds} given.")
    num_classes, (train, test) = checked_sets(
        ("training", train_features, train_labels), ("test", test_features, test_labels)
    )
    _check_counts(np.bincount(train[1]), shots, method)
    runs = [(count, seed) for count in shots for seed in seeds]
    results = []
    for count, seed in track(runs, "Few-shot", progress):
        held = min(count, _HELD_OUT) if method == "probe" else 0
        drawn, kept = _draw(train[1], count, held, seed)
        fitted, held_out = ((train[0][rows], train[1][rows]) for rows in (drawn, kept))
        learn = _probe if method == "probe" else _nearest_mean
        cost, weights, bias = learn(fitted, held_out, num_classes)
        confusion = scored(weights, bias, *test)
        results.append((np.trace(confusion) / confusion.sum(), cost))
    accuracies, costs = np.array(results).T.reshape(2, len(shots), len(seeds))
    mean, deviation = accuracies.mean(axis=1), accuracies.std(axis=1, ddof=1)
    return FewShot(tuple(shots), mean, deviation, accuracies, costs)


def _probe(fitted, held_out, num_classes):
    found = search_cost(fitted, held_out, num_classes, progress=False)
    return found.C, found.fit.weights, found.fit.bias


def _nearest_mean(fitted, _, num_classes):
    features, labels = fitted
    sums = np.zeros((num_classes, features.shape[1]))
    np.add.at(sums, labels, unit_rows(features.astype("float32")))
    return np.nan, unit_rows(sums).T, np.zeros(num_classes)


def _draw(labels, count, held, seed):
    """Rows of `count` examples a class, and of `held` others."""
    random = np.random.default_rng(seed)
    rows = [random.permutation(np.flatnonzero(labels == k)) for k in range(labels.max() + 1)]
    drawn, kept = ([r[a:b] for r in rows] for a, b in ((0, count), (count, count + held)))
    return np.sort(np.concatenate(drawn)), np.sort(np.concatenate(kept))


def _check_counts(counts, shots, method):
    most = max(shots)
    needed = most + (min(most, _HELD_OUT) if method == "probe" else 0)
    if counts.min() < needed:
        k = int(counts.argmin())
        extra = f", {needed - most} of them to choose C by" if needed > most else ""
        raise ValueError(
            f"Class {k} has {counts[k]} training examples: {most} shots need {needed}{extra}."
        )
