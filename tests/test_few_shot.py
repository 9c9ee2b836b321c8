"""Few-shot: balanced draws, seeds, and classes with too few examples."""

import numpy as np
import pytest
from clusters import clusters
from sklearn.linear_model import LogisticRegression as Reference
from sklearn.neighbors import NearestCentroid

from keras_clip import evaluate
from keras_clip.evaluate.few_shot import _draw


@pytest.fixture(scope="module")
def data():
    features, labels = clusters(700, 10, 4, signal=1.5)
    return features[:300], labels[:300], features[300:], labels[300:]


def test_draws_are_balanced_seeded_and_without_replacement():
    labels = np.random.default_rng(0).permutation(np.arange(90) % 3)
    drawn, kept = _draw(labels, 8, 4, seed=5)
    assert len(set(drawn) | set(kept)) == 36
    assert np.bincount(labels[drawn]).tolist() == [8] * 3
    assert np.bincount(labels[kept]).tolist() == [4] * 3
    np.testing.assert_array_equal(drawn, _draw(labels, 8, 4, seed=5)[0])
    assert not np.array_equal(drawn, _draw(labels, 8, 4, seed=6)[0])


def test_accuracies_are_those_of_scikit_learn_at_the_chosen_cost(data):
    train, labels, test, truth = data
    found = evaluate.few_shot(*data, shots=(8, 16), seeds=(0, 1))
    for row, shots in enumerate((8, 16)):
        for seed in (0, 1):
            rows, _ = _draw(labels, shots, min(shots, 4), seed)
            C = found.costs[row, seed]
            reference = Reference(C=C, tol=1e-10, solver="newton-cholesky")
            reference.fit(train[rows].astype("float64"), labels[rows])
            expected = reference.score(test, truth)
            assert found.accuracies[row, seed] == pytest.approx(expected, abs=1.5 / len(truth))
    np.testing.assert_allclose(found.mean, found.accuracies.mean(axis=1))
    np.testing.assert_allclose(found.deviation, np.std(found.accuracies, axis=1, ddof=1))
    assert found.mean[1] > found.mean[0] > 0.5
    assert found.to_dict()["shots"] == [8, 16]


def test_nearest_mean_is_that_of_scikit_learn(data):
    train, labels, test, truth = data
    found = evaluate.few_shot(*data, shots=(4,), seeds=(0, 1), method="nearest_mean")
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (train, test)]
    for seed in (0, 1):
        rows, _ = _draw(labels, 4, 0, seed)
        reference = NearestCentroid().fit(unit[0][rows], labels[rows])
        means = reference.centroids_ / np.linalg.norm(reference.centroids_, axis=1, keepdims=True)
        expected = np.mean((unit[1] @ means.T).argmax(axis=1) == truth)
        assert found.accuracies[0, seed] == pytest.approx(expected)
    assert np.isnan(found.costs).all()


def test_a_class_with_too_few_examples_is_named(data):
    train, labels, test, truth = data
    kept = (labels != 2) | (np.cumsum(labels == 2) <= 18)
    fewer = train[kept], labels[kept], test, truth
    with pytest.raises(ValueError, match=r"Class 2 has 18 .* 16 shots need 20, 4 of them"):
        evaluate.few_shot(*fewer)
    evaluate.few_shot(*fewer, shots=(16,), method="nearest_mean")


def test_wrong_settings_are_refused(data):
    for settings in ({"shots": (0,)}, {"shots": ()}, {"seeds": (1,)}, {"method": "svm"}):
        with pytest.raises(ValueError, match=r"shots are|method is"):
            evaluate.few_shot(*data, **settings)
