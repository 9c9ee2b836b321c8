"""Multinomial logistic regression by L-BFGS, in coordinates where few steps are enough."""

from typing import NamedTuple

import numpy as np

from keras_clip.evaluate.feature_rows import block_rows, blocks, work_dtype

TOLERANCE = 1e-6  # of the objective, relative: at this, accuracies no longer move
MAX_ITERATIONS = 1000
_SAMPLE = 16_384  # rows that the coordinates are found from


class Fit(NamedTuple):
    """A fitted head.

    Args:
        weights: (dim, K) float64.
        bias: (K,) float64, of mean 0.
        objective: mean loss a row plus the penalty, in nats.
        iterations: int, steps of L-BFGS.
        converged: bool. False: stopped by `max_iterations`.
    """

    weights: np.ndarray
    bias: np.ndarray
    objective: float
    iterations: int
    converged: bool


class LogisticRegression:
    """One problem, to be solved at any strength of regularisation.

    Minimises, as scikit-learn does, C * (sum of the losses) + |weights|^2 / 2, with a bias that is
    not penalised, and with two classes one column that is (softmax's two share its penalty).
    Rows are read a block at a time; products are float32 unless the features are float64, the
    sums and L-BFGS's own state float64.

    L-BFGS works on `weights = basis @ (steps * scale)`: features centred, rotated to the axes of
    their covariance, and scaled by the curvature that each axis and class has where nothing has
    been learned. The minimum is the same, and is reached in a tenth of the steps.

    Args:
        *parts: (features (n, dim), labels (n,) int64) each; a part need not be in memory.
        num_classes: int, K; every class has a row.

    Raises:
        ImportError: SciPy is not installed.
    """

    def __init__(self, *parts, num_classes):
        self.minimize = _scipy_minimize()
        self.parts, self.num_classes = parts, num_classes
        self.count = sum(len(labels) for _, labels in parts)
        shares = sum(np.bincount(labels, minlength=num_classes) for _, labels in parts)
        shares = shares / self.count
        self.log_shares = np.log(shares) - np.log(shares).mean()
        self.curvature = shares * (1 - shares)
        self.mean, self.spread, self.basis = _axes(parts)

    def fit(self, C, start=None, tolerance=TOLERANCE, max_iterations=MAX_ITERATIONS):  # noqa: N803
        """Solve it: Fit.

        Args:
            C: float, above 0, scikit-learn's: less regularisation where it is larger.
            start: Fit to begin at, or None.
            tolerance: stops when a step lowers the objective by no more than this share of it.
            max_iterations: int.
        """
        penalty = (2 if self.num_classes == 2 else 1) / (C * self.count)
        scale = 1 / np.sqrt(penalty + np.outer(self.spread, self.curvature))
        bias_scale = 1 / np.sqrt(self.curvature)
        shape, cut = scale.shape, scale.size

        def head(values):
            weights = self.basis @ (values[:cut].reshape(shape) * scale)
            return weights, values[cut:] * bias_scale - self.mean @ weights

        def objective(values):
            weights, bias = head(values)
            loss, slope, bias_slope = self._loss(weights, bias)
            slope = slope - np.outer(self.mean, bias_slope) + penalty * weights
            slope = (self.basis.T @ slope) * scale
            value = loss + penalty / 2 * np.sum(np.square(weights))
            return value, np.concatenate([slope.ravel(), bias_slope * bias_scale])

        first = np.zeros(shape), self.log_shares * 1.0
        if start is not None:
            first = self.basis.T @ start.weights / scale, start.bias + self.mean @ start.weights
        first = np.concatenate([first[0].ravel(), first[1] / bias_scale])
        options = {"maxiter": max_iterations, "maxfun": 10 * max_iterations, "ftol": 0, "gtol": 0}
        found = self.minimize(
            objective, first, jac=True, method="L-BFGS-B", options=options,
            callback=_Stop(tolerance),
        )  # fmt: skip
        weights, bias = head(found.x)
        limit = found.nit >= max_iterations
        return Fit(weights, bias - bias.mean(), float(found.fun), found.nit, not limit)

    def _loss(self, weights, bias):
        """Mean loss, and its slopes by weights (dim, K) and bias (K,)."""
        loss, slope, bias_slope = 0.0, np.zeros(weights.shape), np.zeros(bias.shape)
        for features, labels in self.parts:
            dtype = work_dtype(features)
            w, b = weights.astype(dtype), bias.astype(dtype)
            for part in blocks(len(labels), block_rows(max(weights.shape))):
                x = features[part].astype(dtype, copy=False)
                logits = x @ w
                logits += b
                losses, excess = _excess(logits, labels[part])
                loss += losses.sum(dtype="float64")
                slope += x.T @ excess
                bias_slope += excess.sum(axis=0, dtype="float64")
        return loss / self.count, slope / self.count, bias_slope / self.count


class _Stop:
    """Ends the iteration when a step has hardly lowered the objective."""

    def __init__(self, tolerance):
        self.tolerance, self.last = tolerance, np.inf

    def __call__(self, intermediate_result):
        value = intermediate_result.fun
        if self.last - value <= self.tolerance * value:
            raise StopIteration
        self.last = value


def _excess(logits, labels):
    """Losses (n,), and probabilities less the truth (n, K); the logits are overwritten.

    The best class is summed apart from the others, so that small losses keep their digits.
    """
    rows = np.arange(len(labels))
    best = logits.argmax(axis=1)
    logits -= logits[rows, best][:, None]
    true = logits[rows, labels]
    np.exp(logits, out=logits)
    logits[rows, best] = 0
    others = logits.sum(axis=1)
    total = 1 + others
    logits /= total[:, None]
    logits[rows, best] = 1 / total
    logits[rows, labels] = (np.exp(true) - 1 - others) / total
    return np.log1p(others) - true, logits


def _axes(parts):
    """Mean (dim,), variances (dim,) and axes (dim, dim) of a sample of the rows."""
    count = sum(len(labels) for _, labels in parts)
    step = max(1, count // max(_SAMPLE, 8 * parts[0][0].shape[1]))
    sample = np.concatenate([features[::step] for features, _ in parts])
    sample = sample.astype(work_dtype(sample), copy=False)
    mean = sample.mean(axis=0, dtype="float64")
    sample = sample - mean.astype(sample.dtype)
    covariance = (sample.T @ sample).astype("float64") / len(sample)
    variances, axes = np.linalg.eigh(covariance)
    return mean, np.maximum(variances, 0), axes


def _scipy_minimize():
    try:
        from scipy.optimize import minimize
    except ImportError as error:
        raise ImportError("A linear probe needs SciPy: pip install 'keras-clip[probe]'.") from error
    return minimize
