"""Metrics, against scikit-learn and matrices counted by hand."""

import numpy as np
import pytest

from keras_clip.evaluate import metrics

SCORES = np.array([[3, 1, 2], [0, 5, 5], [1, 1, 1], [2, 9, 4]], "float32")
LABELS = np.array([2, 2, 0, 0])


def test_ranks_counted_by_hand():
    # 2 is second of 3, 1, 2; equal fives: the first class is the better; all equal: 0 is first.
    assert metrics.ranks(SCORES, LABELS).tolist() == [1, 1, 0, 2]


def test_ranks_agree_with_top_k_of_scikit_learn():
    from sklearn.metrics import top_k_accuracy_score

    random = np.random.default_rng(0)
    scores, labels = random.normal(size=(300, 12)), random.integers(0, 12, 300)
    for k in (1, 3, 5):
        expected = top_k_accuracy_score(labels, scores, k=k, labels=np.arange(12))
        assert np.mean(metrics.ranks(scores, labels) < k) == pytest.approx(expected, abs=1e-12)


def test_confusion_and_mean_per_class_agree_with_scikit_learn():
    from sklearn.metrics import balanced_accuracy_score, confusion_matrix

    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 200)
    found = np.where(random.random(200) < 0.6, labels, random.integers(0, 4, 200))
    ours = metrics.confusion_matrix(labels, found, 5)  # a fifth class that does not occur
    np.testing.assert_array_equal(ours[:4, :4], confusion_matrix(labels, found))
    assert not ours[4].any() and not ours[:, 4].any()
    assert metrics.mean_per_class(ours) == pytest.approx(balanced_accuracy_score(labels, found))


def test_bootstrap_interval_is_that_of_resampled_answers():
    random = np.random.default_rng(0)
    right = np.arange(200) < 150
    resampled = [np.mean(random.choice(right, 200)) for _ in range(4000)]
    expected = np.quantile(resampled, (0.025, 0.975))
    np.testing.assert_allclose(metrics.bootstrap_interval(150, 200), expected, atol=0.006)
    assert metrics.bootstrap_interval(7, 7) == (1.0, 1.0)


def test_calibration_error_counted_by_hand():
    confidence, right = np.array([0.95, 0.85, 0.95, 0.15]), np.array([1, 0, 0, 0])
    # Of ten bins: the last holds 0.95 twice, half right; 0.85 is wrong; 0.15 is wrong.
    expected = (2 * abs(0.5 - 0.95) + 0.85 + 0.15) / 4
    assert metrics.expected_calibration_error(confidence, right, 10) == pytest.approx(expected)
    found = metrics.reliability(confidence, right, 10)
    assert found["count"].tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 1, 2]
    assert found["accuracy"][9] == 0.5 and np.isnan(found["accuracy"][0])


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    found = metrics.reliability(np.array([0.0, 0.5, 1.0]), np.array([0, 1, 1]), 2)
    assert found["count"].tolist() == [2, 1]


def test_first_answers():
    shares = np.array([[0.2, 0.8], [0.6, 0.4]])
    confidence, right = metrics.first_answers(shares, [1, 1])
    assert confidence.tolist() == [0.8, 0.6] and right.tolist() == [True, False]


def test_average_precision_agrees_with_scikit_learn():
    from sklearn.metrics import average_precision_score

    random = np.random.default_rng(0)
    scores, targets = random.normal(size=(80, 3)), random.integers(0, 2, (80, 3))
    expected = average_precision_score(targets, scores, average=None)
    np.testing.assert_allclose(metrics.average_precision(scores, targets), expected, atol=1e-12)


def test_ties_gain_nothing_and_an_empty_class_has_no_number():
    found = metrics.average_precision(np.zeros((4, 2)), np.array([[1, 0]] * 2 + [[0, 0]] * 2))
    assert found[0] == pytest.approx((1 / 3 + 2 / 4) / 2) and np.isnan(found[1])
