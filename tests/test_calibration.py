"""Calibration: recovers what made the answers wrong, against scipy, and on examples not seen."""

import keras
import numpy as np
import pytest
from scipy import optimize
from tiny_models import tiny_clip, tiny_images, tiny_tokenizer

from keras_clip.evaluate import calibrate, expected_calibration_error, fit_calibration
from keras_clip.evaluate.metrics import first_answers

K = 4


def softmax(x):
    x = np.exp(x - x.max(axis=1, keepdims=True))
    return x / x.sum(axis=1, keepdims=True)


def drawn(count, slope=1.0, bias=0.0, seed=0):
    """Logits of a classifier, and labels drawn from softmax(slope * logits + bias)."""
    random = np.random.default_rng(seed)
    logits = 2 * random.normal(size=(count, K))
    shares = np.cumsum(softmax(slope * logits + bias), axis=1)
    return logits, (random.random((count, 1)) > shares).sum(axis=1)


def test_the_temperature_and_bias_that_labels_were_drawn_with_are_found():
    bias = np.array([0.8, -0.5, 0.2, -0.5])
    found = fit_calibration(*drawn(20_000, 0.25, bias))
    assert found.temperature == pytest.approx(4.0, rel=0.05)
    np.testing.assert_allclose(found.bias - found.bias.mean(), bias, atol=0.08)
    assert found.error_before > 0.2 and found.error_after < 0.02
    assert found.loss_after < found.loss_before and found.examples == 20_000


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0])
def test_the_optimum_is_scipys(spread):
    logits, labels = drawn(60, 0.5, [1, 0, 0, -1])

    def objective(x):
        bias = x[1:] if spread else np.zeros(K)
        z = np.exp(x[0]) * logits + bias
        z = z - np.logaddexp.reduce(z, axis=1, keepdims=True)
        penalty = x[0] ** 2 / 2 + (np.sum(bias**2) / (2 * spread**2) if spread else 0)
        return penalty - np.sum(z[np.arange(60), labels])

    expected = optimize.minimize(objective, np.zeros(K + 1), method="BFGS", tol=1e-9).x
    found = fit_calibration(logits, labels, bias_spread=spread)
    assert found.temperature == pytest.approx(np.exp(-expected[0]), rel=1e-4)
    np.testing.assert_allclose(found.bias, expected[1:] if spread else 0, atol=1e-4)


def test_after_a_sigmoid_the_optimum_is_that_of_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(0)
    logits = 24 + 2 * random.normal(size=(3000, 1))  # what cosines of 0.24 times 100 look like
    targets = (random.random((3000, 1)) < 1 / (1 + np.exp(25.5 - logits))).astype(int)
    model = LogisticRegression(C=1e6, tol=1e-8, max_iter=1000).fit(logits, targets[:, 0])
    found = fit_calibration(logits, targets, "sigmoid")
    # With thousands of examples the pull of the slope towards 1 no longer shows.
    assert 1 / found.temperature == pytest.approx(model.coef_[0, 0], rel=0.01)
    assert found.bias[0] == pytest.approx(model.intercept_[0], rel=0.01)
    assert found.error_before > 0.5 and found.error_after < 0.03


def test_the_errors_are_those_of_examples_not_fitted_on():
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(12, K)), random.integers(0, K, 12)
    found = fit_calibration(logits, labels, bias_spread=1.0)
    fitted = softmax(logits / found.temperature + found.bias)
    in_sample = -np.mean(np.log(fitted[np.arange(12), labels]))
    assert found.loss_after > in_sample
    before = expected_calibration_error(*first_answers(softmax(logits), labels))
    assert found.error_before == pytest.approx(before)


def test_few_examples_of_a_perfect_classifier_move_it_little():
    logits = 10.0 * np.eye(K)
    found = fit_calibration(logits, np.arange(K), bias_spread=1.0)
    assert 0.5 < found.temperature < 2 and np.abs(found.bias).max() < 0.1


def test_by_default_nothing_is_made_worse_and_much_is_left_as_it_is():
    found = [fit_calibration(*drawn(16, seed=seed)) for seed in range(20)]
    assert all(one.loss_after <= one.loss_before for one in found)
    left = [one for one in found if one.temperature == 1 and not one.bias.any()]
    assert len(left) >= 5
    assert all(one.error_after == one.error_before for one in left)


@pytest.fixture(scope="module")
def clip():
    return tiny_clip(tokenizer=tiny_tokenizer())


def test_a_calibrated_classifier_is_a_classifier(clip, tmp_path):
    pixels, labels = tiny_images(30), np.arange(30) % 3
    classifier = clip.zero_shot_classifier(["cat", "dog", "bird"])
    better, found = calibrate(classifier, pixels, labels)
    head = keras.Model(classifier.input, classifier.get_layer("head").output)
    expected = softmax(head.predict(pixels, verbose=0) / found.temperature + found.bias)
    np.testing.assert_allclose(better.predict(pixels, verbose=0), expected, atol=1e-5)
    better.save(tmp_path / "better.keras")
    loaded = keras.saving.load_model(tmp_path / "better.keras")
    np.testing.assert_allclose(loaded.predict(pixels, verbose=0), expected, atol=1e-5)
    assert loaded.get_layer("predictions").class_names == ("cat", "dog", "bird")
    grown = clip.extend_classifier(better, ["fox"])
    assert grown.predict(pixels, verbose=0).shape == (30, 4)


def test_several_classes_may_be_right(clip):
    pixels = tiny_images(20)
    targets = np.random.default_rng(0).integers(0, 2, (20, 2))
    classifier = clip.zero_shot_classifier(["cat", "dog"], activation="sigmoid")
    better, found = calibrate(classifier, pixels, targets)
    shares = better.predict(pixels, verbose=0)
    assert found.loss_after < found.loss_before
    np.testing.assert_allclose(shares.mean(), targets.mean(), atol=0.1)
    assert isinstance(found.to_dict()["bias"], list)


@pytest.mark.parametrize(
    "logits, labels, activation, message",
    [
        (np.ones((1, 3)), [0], "softmax", "at least two"),
        (np.ones((2, 3)), [0, 3], "softmax", "0 to 2"),
        (np.ones((2, 3)), [0, -1], "softmax", "0 to 2"),
        (np.ones((2, 3)), [0], "softmax", "one int an example"),
        (np.ones((2, 3)), [0, 1], "sigmoid", "0 or 1 for each class"),
        (np.ones((2, 3)), np.full((2, 3), 2), "sigmoid", "0 or 1 for each class"),
        (np.ones((2, 3)), [0, 1], None, "Logits are not calibrated"),
        (np.full((2, 3), np.nan), [0, 1], "softmax", "not finite"),
    ],
)
def test_examples_that_do_not_fit(logits, labels, activation, message):
    with pytest.raises(ValueError, match=message):
        fit_calibration(logits, labels, activation)


def test_what_is_no_zero_shot_classifier(clip):
    with pytest.raises(ValueError, match="not what zero_shot_classifier"):
        calibrate(clip.get_layer("vision"), tiny_images(2), [0, 1])
