"""Logistic regression: scikit-learn's minimum, in fewer steps and in bounded memory."""

import tracemalloc

import numpy as np
import pytest
from clusters import clusters
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as Reference

from keras_clip.evaluate.logistic_regression import LogisticRegression


def objective(weights, bias, features, labels, C):  # noqa: N803
    """Mean loss plus penalty, written out in float64."""
    logits = features.astype("float64") @ weights + bias
    losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(labels)), labels]
    return losses.mean() + np.sum(np.square(weights)) / (2 * C * len(labels))


@pytest.mark.parametrize("num_classes", [2, 5])
@pytest.mark.parametrize("C", [0.01, 1.0, 30.0])
def test_weights_are_those_of_scikit_learn(num_classes, C):  # noqa: N803
    features, labels = clusters(400, 12, num_classes, dtype="float64")
    reference = Reference(C=C, tol=1e-10, solver="newton-cholesky").fit(features, labels)
    fit = LogisticRegression((features, labels), num_classes=num_classes).fit(C, tolerance=1e-13)
    weights, bias = fit.weights, fit.bias
    if num_classes == 2:  # scikit-learn has the difference alone
        weights, bias = weights[:, 1:] - weights[:, :1], bias[1:] - bias[:1]
    scale = np.abs(reference.coef_).max()
    np.testing.assert_allclose(weights.T, reference.coef_, atol=1e-4 * scale)
    np.testing.assert_allclose(bias, reference.intercept_, atol=2e-4 * scale)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_the_usual_tolerance_finds_the_minimum_in_fewer_steps(dtype):
    features, labels = clusters(1000, 32, 6, dtype=dtype)
    features = features * np.logspace(0, 1, 32).astype(dtype)
    wide = features.astype("float64")
    reference = Reference(C=1.0, tol=1e-10, solver="newton-cholesky").fit(wide, labels)
    least = objective(reference.coef_.T, reference.intercept_, wide, labels, 1.0)
    fit = LogisticRegression((features, labels), num_classes=6).fit(1.0)
    assert fit.converged
    with pytest.warns(ConvergenceWarning):  # not even by its own, looser tolerance
        Reference(C=1.0, max_iter=3 * fit.iterations).fit(wide, labels)
    found = objective(fit.weights, fit.bias, wide, labels, 1.0)
    assert found - least < 1e-5 * least
    assert fit.objective == pytest.approx(found, rel=1e-6)


def test_rare_classes_and_parts_change_nothing():
    features, labels = clusters(900, 8, 3, dtype="float64")
    kept = (labels > 0) | (np.arange(900) % 20 == 0)
    features, labels = features[kept], labels[kept]
    reference = Reference(C=1.0, tol=1e-10, solver="newton-cholesky").fit(features, labels)
    parts = [(features[k::3], labels[k::3]) for k in range(3)]
    fit = LogisticRegression(*parts, num_classes=3).fit(1.0, tolerance=1e-13)
    np.testing.assert_allclose(fit.weights.T, reference.coef_, atol=1e-4)


def test_small_losses_keep_their_digits_in_float32():
    features, labels = clusters(300, 20, 3, signal=6.0)
    fit = LogisticRegression((features, labels), num_classes=3).fit(1e5)
    exact = LogisticRegression((features.astype("float64"), labels), num_classes=3).fit(
        1e5, tolerance=1e-12
    )
    assert fit.objective < 1e-3  # where 1 - probability has no digits left
    assert fit.objective == pytest.approx(exact.objective, rel=1e-3)


def test_a_start_at_the_end_takes_few_steps_and_a_limit_is_told():
    features, labels = clusters(800, 16, 6)
    problem = LogisticRegression((features, labels), num_classes=6)
    fit = problem.fit(3.0)
    assert problem.fit(3.0, start=fit).iterations <= 3
    stopped = problem.fit(3.0, max_iterations=2)
    assert not stopped.converged and stopped.iterations == 2
    assert stopped.objective > fit.objective


def test_rows_on_disk_are_read_in_bounded_memory(tmp_path):
    count, dim = 120_000, 128
    path = tmp_path / "features.npy"
    features = np.lib.format.open_memmap(path, "w+", "float16", (count, dim))
    random = np.random.default_rng(0)
    labels = np.arange(count) % 4
    for start in range(0, count, 20_000):
        rows = random.standard_normal((20_000, dim))
        rows[:, :4] += np.eye(4)[labels[start : start + 20_000]]
        features[start : start + 20_000] = rows
    tracemalloc.start()
    fit = LogisticRegression((np.load(path, mmap_mode="r"), labels), num_classes=4).fit(1.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert fit.converged
    assert peak < count * dim * 8 / 3, "a third of what the features take as float64"
