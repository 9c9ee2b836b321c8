"""The linear probe: the paper's search, scikit-learn's accuracy, and a head on the model."""

import json

import keras
import numpy as np
import pytest
import small_models
from clusters import clusters
from PIL import Image
from sklearn.linear_model import LogisticRegression as Reference
from tiny_models import tiny_clip, tiny_images, tiny_vit

from keras_clip import evaluate
from keras_clip.evaluate.cost_search import cost, search
from keras_clip.models.features import feature_model

pytest_plugins = ["command_line"]


@pytest.fixture(scope="module")
def data():
    features, labels = clusters(1800, 24, 6)
    return features[:900], labels[:900], features[900:], labels[900:]


@pytest.mark.parametrize("peak", [0, 1, 37, 48, 95, 96])
def test_search_finds_any_peak_of_the_96_steps_in_15_fits(peak):
    calls = []

    def score(place):
        calls.append(place)
        return -abs(place - peak)

    assert list(search(score))[-1] == peak
    assert calls[:7] == [0, 16, 32, 48, 64, 80, 96]
    assert len(calls) == len(set(calls)) <= 15


def test_steps_are_those_of_the_paper():
    costs = [cost(place) for place in range(97)]
    np.testing.assert_allclose([costs[0], costs[48], costs[96]], [1e-6, 1, 1e6])
    np.testing.assert_allclose(np.diff(np.log10(costs)), 1 / 8)


def test_accuracy_is_that_of_scikit_learn_at_the_same_cost(data):
    train, labels, test, truth = data
    found = evaluate.linear_probe(*data)
    assert found.converged and found.sweep[found.C] == max(found.sweep.values())
    assert len(found.sweep) <= 15 and list(found.sweep) == sorted(found.sweep)
    reference = Reference(C=found.C, tol=1e-10, solver="newton-cholesky")
    reference.fit(train.astype("float64"), labels)
    predictions = reference.predict(test)
    assert found.accuracy == pytest.approx(np.mean(predictions == truth), abs=1.5 / 900)
    shares = [np.mean(predictions[truth == k] == k) for k in range(6)]
    assert found.mean_per_class == pytest.approx(np.mean(shares), abs=2e-3)
    np.testing.assert_allclose(found.logits(test), test @ found.weights + found.bias, atol=1e-5)


def test_the_final_fit_has_training_and_validation_examples(data):
    train, labels, test, truth = data
    held = train[600:], labels[600:]
    found = evaluate.linear_probe(train[:600], labels[:600], test, truth, validation=held)
    for place, accuracy in found.sweep.items():
        if 1e-2 < place < 1e2:
            reference = Reference(C=place, tol=1e-10, solver="newton-cholesky")
            reference.fit(train[:600].astype("float64"), labels[:600])
            assert accuracy == pytest.approx(reference.score(*held), abs=1.5 / 300)
    whole = evaluate.linear_probe(*data, C=found.C)
    assert whole.sweep == {}
    np.testing.assert_allclose(
        found.weights, whole.weights, atol=0.01 * np.abs(whole.weights).max()
    )


def test_bad_input_is_named(data):
    train, labels, test, truth = data
    broken = train.copy()
    broken[7, 3] = np.nan
    cases = [
        ((broken, labels, test, truth), "training features of row 7 are not finite"),
        ((train, labels[:-1], test, truth), r"training labels are one a row .* not \(899,\)"),
        ((train, labels - 1, test, truth), "training label -1 of row"),
        ((train, labels + 0.5, test, truth), "whole numbers"),
        ((train, labels * 0, test, truth * 0), "one class alone"),
        ((train[labels < 5], labels[labels < 5], test, truth), "Class 5 has no training example"),
        ((train, labels, test[:, :9], truth), "test features are 9 wide"),
        ((train[:6], np.arange(6), test, truth), "none to hold out"),
        ((train[0], labels, test, truth), r"\(n, dim\)"),
    ]
    for arguments, told in cases:
        with pytest.raises(ValueError, match=told):
            evaluate.linear_probe(*arguments)


@pytest.mark.parametrize("kind", ["clip", "tower", "vit", "headless"])
def test_the_head_goes_back_on_the_model(kind, tmp_path):
    clip = tiny_clip()
    models = {
        "clip": clip,
        "tower": clip.get_layer("vision"),
        "vit": tiny_vit(num_classes=3),
        "headless": tiny_vit(),
    }
    model, pixels, labels = models[kind], tiny_images(24), np.arange(24) % 3
    features = feature_model(model).predict(pixels, verbose=0)
    assert features.shape == (24, 8)  # before the projection to 6, and before the head
    found = evaluate.linear_probe(features, labels, features, labels, C=1.0)
    logits = found.classifier(model, activation=None).predict(pixels, verbose=0)
    np.testing.assert_allclose(logits, found.logits(features), atol=1e-5)
    classifier = found.classifier(model, ["a", "b", "c"])
    classifier.save(tmp_path / "head.keras")
    loaded = keras.saving.load_model(tmp_path / "head.keras")
    assert loaded.get_layer("predictions").class_names == ("a", "b", "c")
    shares = np.exp(found.logits(features))
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(loaded.predict(pixels, verbose=0), shares, atol=1e-5)
    loaded.compile("adam", "sparse_categorical_crossentropy")
    loaded.fit(pixels, labels, verbose=0)
    assert not np.allclose(loaded.predict(pixels, verbose=0), shares, atol=1e-5)


def test_features_are_what_projection_and_pooling_work_on():
    clip, pixels = tiny_clip(), tiny_images(3)
    features = feature_model(clip).predict(pixels, verbose=0)
    kernel = keras.ops.convert_to_numpy(clip.get_layer("vision").get_layer("projection").kernel)
    expected = keras.ops.convert_to_numpy(clip.encode_image(pixels))
    np.testing.assert_allclose(features @ kernel, expected, atol=1e-5)
    vit = tiny_vit(pooling="mean")
    tokens = vit.predict(pixels, verbose=0)
    means = feature_model(vit).predict(pixels, verbose=0)
    np.testing.assert_allclose(means, tokens[:, 1:].mean(axis=1), atol=1e-5)


def test_a_head_of_another_width_is_refused(data):
    found = evaluate.linear_probe(*data, C=1.0)
    with pytest.raises(ValueError, match="24 wide, but those of 'clip' are 8 wide"):
        found.classifier(tiny_clip())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Pictures of two classes, dark and light, in train/ and test/; one of them is broken."""
    random, root = np.random.default_rng(0), tmp_path_factory.mktemp("probe")
    for part, count in (("train", 12), ("test", 6)):
        for name, level in (("dark", 40), ("light", 170)):
            (root / part / name).mkdir(parents=True)
            for k in range(count):
                pixels = level + random.integers(0, 40, (32, 32, 3))
                Image.fromarray(pixels.astype("uint8")).save(root / part / name / f"{k}.png")
    (root / "test" / "dark" / "broken.png").write_bytes(b"\x89PNG")
    return root


def test_command_measures_and_keeps_a_classifier(run, clip_preset, folders, tmp_path):
    sources = (folders / "train", folders / "test", "--preset", clip_preset)
    head = tmp_path / "new" / "head.keras"
    code, out, err = run("probe", *sources, "--json", "--save", head)
    assert code == 0, err
    result = json.loads(out)
    assert result["images"] == [24, 12] and result["accuracy"] == 1.0
    ((key, _),) = result["failures"]
    assert key.endswith("broken.png")
    assert [path.name for path in head.parent.iterdir()] == ["head.keras"]
    classifier = keras.saving.load_model(head)
    model = small_models.clip()
    pixels = model.image_processor([folders / "test" / "light" / "0.png"])
    assert classifier.predict(pixels, verbose=0).argmax() == 1
    assert classifier.get_layer("predictions").class_names == ("dark", "light")


def test_command_shows_neighbours_and_shots(run, clip_preset, folders):
    sources = (folders / "train", folders / "test", "--preset", clip_preset)
    code, out, _ = run("probe", *sources, "--knn", 3)
    assert code == 0 and "3 nearest neighbours" in out and "100.0 %" in out and "broken" in out
    code, out, _ = run("probe", *sources, "--shots", 1, 2)
    assert code == 0 and "examples a class" in out
    assert run("probe", *sources, "--knn", 3, "--shots", 1)[0] == 2
    assert run("probe", *sources, "--save", "head.h5")[0] == 2
    code, _, err = run("probe", folders / "train" / "dark", *sources[1:])
    assert code == 1 and "no labels" in err
