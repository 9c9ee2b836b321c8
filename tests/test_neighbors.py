"""k-NN: scikit-learn's answers, and votes counted by hand."""

import numpy as np
import pytest
from clusters import clusters
from sklearn.neighbors import KNeighborsClassifier

from keras_clip import evaluate
from keras_clip.evaluate import neighbors


@pytest.mark.parametrize("k", [1, 7, 20])
@pytest.mark.parametrize("temperature", [None, 0.07])
def test_predictions_are_those_of_scikit_learn(k, temperature, monkeypatch):
    monkeypatch.setattr(neighbors, "_QUERIES", 64)
    monkeypatch.setattr(neighbors, "block_rows", lambda width: 100)
    features, labels = clusters(630, 16, 5)
    train, test = (features[:430], labels[:430]), (features[430:], labels[430:])
    weights = "uniform" if temperature is None else lambda x: np.exp((1 - x) / temperature)
    reference = KNeighborsClassifier(k, metric="cosine", weights=weights).fit(*train)
    found = evaluate.knn(*train, *test, k=k, temperature=temperature)
    np.testing.assert_array_equal(found.predictions, reference.predict(test[0]))
    assert found.accuracy == pytest.approx(reference.score(*test))


def test_votes_are_counted_as_by_hand():
    train = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1.0]])
    labels = [0, 1, 1, 0]
    test = np.array([[5.0, 0.0], [0.0, 0.1]])  # lengths do not matter
    majority = evaluate.knn(train, labels, test, [0, 1], k=3, temperature=None)
    assert majority.predictions.tolist() == [1, 1]  # 1 of class 0, 2 of class 1
    # Class 0 has exp(1 / 0.1) = 22026; class 1 exp(0.8 / 0.1) + exp(0.6 / 0.1) = 2981 + 403.
    weighted = evaluate.knn(train, labels, test, [0, 1], k=3, temperature=0.1)
    assert weighted.predictions.tolist() == [0, 0]
    assert (weighted.accuracy, weighted.mean_per_class) == (0.5, 0.5)


def test_tiny_temperatures_and_halves_do_not_overflow():
    features, labels = clusters(60, 8, 3, dtype="float16")
    sharp = evaluate.knn(features, labels, features, labels, k=5, temperature=1e-4)
    assert sharp.accuracy == 1.0  # each is its own neighbour


@pytest.mark.parametrize("k", [0, 61])
def test_k_is_at_most_the_training_set(k):
    features, labels = clusters(60, 8, 3)
    with pytest.raises(ValueError, match="from 1 to the 60 training examples"):
        evaluate.knn(features, labels, features, labels, k=k)
