"""The linear probe of the CLIP paper: logistic regression on frozen features."""

import time
from dataclasses import dataclass

import numpy as np

from keras_clip.evaluate import metrics
from keras_clip.evaluate.cost_search import CostSearch, scored, search_cost
from keras_clip.evaluate.feature_rows import Rows, checked_sets
from keras_clip.evaluate.logistic_regression import LogisticRegression
from keras_clip.models.probe_head import linear_classifier

_HELD_OUT = 0.2  # of the training examples of each class, where there is no validation set


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier on features, and how good it is.

    Args:
        accuracy: share of the test examples that are right, 0 to 1.
        mean_per_class: mean over the classes of the share that is right.
        C: regularisation, scikit-learn's: less of it where C is larger.
        sweep: {C: validation accuracy}, in the order of C; empty where C was given.
        weights: (dim, K) float32.
        bias: (K,) float32.
        iterations: int, steps of L-BFGS in all fits together.
        converged: bool. Whether the last fit ended before 1000 steps.
        seconds: float, for all of it.
    """

    accuracy: float
    mean_per_class: float
    C: float
    sweep: dict
    weights: np.ndarray
    bias: np.ndarray
    iterations: int
    converged: bool
    seconds: float

    def logits(self, features):
        """Decision function: (n, dim) -> (n, K) float32."""
        return np.asarray(features, "float32") @ self.weights + self.bias

    def classifier(self, model, class_names=None, activation="softmax"):
        """Put the head on the model: a keras.Model, what `model` takes -> (B, K) float32.

        The model's layers are shared: fine-tuning the classifier moves them.

        Args:
            model: the CLIP, image tower or ViT whose `feature_model` gave the features.
            class_names: list of K str, kept with the saved classifier, or None.
            activation: `softmax`, or None for logits.

        Raises:
            ValueError: the model's features have another width, or there are not K names.
        """
        return linear_classifier(model, self.weights, self.bias, class_names, activation)

    def to_dict(self):
        """Plain values without the head, for JSON."""
        names = ("accuracy", "mean_per_class", "C", "sweep", "iterations", "converged", "seconds")
        return {name: getattr(self, name) for name in names}


def linear_probe(
    train_features, train_labels, test_features, test_labels,
    validation=None, C=None, seed=0, progress=None,  # noqa: N803
):  # fmt: skip
    """Measure features by a linear classifier, as the CLIP paper does.

    C is searched among 96 logarithmic steps from 1e-6 to 1e6, by halving the interval around the
    best on a validation set; the classifier is then fitted to training and validation examples
    together. Features are read a block at a time: they may be memory-mapped, and float16.

    Args:
        train_features: (n, dim) array; the paper takes those before the projection, as they are,
            not of unit length (see `features`).
        train_labels: (n,) int, classes 0 to K - 1, each with an example.
        test_features: (m, dim) array.
        test_labels: (m,) int, of the same classes.
        validation: (features, labels), or None: a fifth of the training examples of each class.
        C: float, which spares the search, or None.
        seed: int, of what is held out.
        progress: bool or None. None: a bar for the search on a terminal.

    Returns:
        LinearProbe.

    Raises:
        ValueError: shapes or labels that do not fit, features that are not finite, one class alone,
            a class without a training example, or too few examples to hold any out.
        ImportError: SciPy is not installed.

    Reference: "Learning Transferable Visual Models" (arXiv 2103.00020), appendix A.3.
    """
    begun = time.perf_counter()
    sets = [("training", train_features, train_labels), ("test", test_features, test_labels)]
    sets += [] if validation is None else [("validation", *validation)]
    num_classes, (train, test, *held_out) = checked_sets(*sets)
    parts = [train, *held_out]
    found = CostSearch(C, None, {}, 0)
    if C is None:
        split = parts if held_out else _split(*train, seed)
        found = search_cost(*split, num_classes, progress)
    fit = LogisticRegression(*parts, num_classes=num_classes).fit(found.C, found.fit)
    weights, bias = fit.weights.astype("float32"), fit.bias.astype("float32")
    confusion = scored(weights, bias, *test)
    return LinearProbe(
        accuracy=float(np.trace(confusion) / confusion.sum()),
        mean_per_class=metrics.mean_per_class(confusion),
        C=found.C,
        sweep=found.sweep,
        weights=weights,
        bias=bias,
        iterations=found.iterations + fit.iterations,
        converged=fit.converged,
        seconds=time.perf_counter() - begun,
    )


def _split(features, labels, seed):
    """Hold out a share of each class: (features, labels) of the others, and of these."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels)
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    held = np.sort(order[rank < np.repeat((counts * _HELD_OUT).astype("int64"), counts)])
    if not len(held):
        raise ValueError(
            f"With {counts.max()} examples of a class there is none to hold out for the choice of "
            "C: give validation=(features, labels), or C."
        )
    kept = np.setdiff1d(np.arange(len(labels)), held)
    return [(Rows(features, rows), labels[rows]) for rows in (kept, held)]
