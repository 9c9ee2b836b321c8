"""WiSE-FT: weights between two models, the sweep of them, its curve."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import tiny_clip, tiny_images, tiny_vit

from keras_clip import finetune, plot
from keras_clip.finetune.adapters import adapter_weights
from keras_clip.models.zero_shot import zero_shot_classifier


def moved(model, seed=1):
    """A copy with other weights."""
    random, other = np.random.default_rng(seed), finetune.copied(model)
    for weight in other.weights:
        weight.assign(weight + random.normal(0, 0.1, weight.shape))
    return other


def classifier(seed=0):
    keras.utils.set_random_seed(seed)
    vectors = np.eye(3, 6, dtype="float32")
    return zero_shot_classifier(tiny_clip().get_layer("vision"), vectors, ["a", "b", "c"], 10.0)


@pytest.mark.parametrize("make", [tiny_clip, tiny_vit, classifier])
def test_weights_are_the_average(make):
    first = make()
    second = moved(first)
    mixed = finetune.interpolate(first, second, 0.3)
    assert type(mixed) is type(first)
    for ours, a, b in zip(mixed.weights, first.weights, second.weights, strict=True):
        a, b = (ops.convert_to_numpy(x).astype("float64") for x in (a, b))
        expected = (0.7 * a + 0.3 * b).astype("float32")
        np.testing.assert_allclose(ops.convert_to_numpy(ours), expected, rtol=1e-6, atol=1e-8)
    for alpha, end in ((0, first), (1, second)):
        found = finetune.interpolate(first, second, alpha)
        for ours, wanted in zip(found.weights, end.weights, strict=True):
            np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(wanted))


def test_adapters_are_merged_on_the_way():
    first = tiny_vit(num_classes=3)
    second = finetune.lora(finetune.copied(first), rank=1)
    for weight in adapter_weights(second).values():
        weight.assign(weight + 0.05)
    pixels, expected = tiny_images(3), second.predict(tiny_images(3), verbose=0)
    whole = finetune.interpolate(first, second, 1.0)
    np.testing.assert_allclose(whole.predict(pixels, verbose=0), expected, atol=1e-6)
    assert len(second.trainable_variables) == len(adapter_weights(second))  # not touched


def test_models_that_are_no_versions_of_one_are_refused():
    vit = tiny_vit(num_classes=3)
    with pytest.raises(ValueError, match=r"activation \(gelu\) here is activation \(quick_gelu\)"):
        finetune.interpolate(vit, tiny_vit(num_classes=3, activation="quick_gelu"), 0.5)
    with pytest.raises(ValueError, match="num_classes"):
        finetune.interpolate(vit, tiny_vit(num_classes=4), 0.5)
    with pytest.raises(ValueError, match="no two versions of one"):
        finetune.interpolate(vit, classifier(), 0.5)
    named = zero_shot_classifier(
        tiny_clip().get_layer("vision"), np.eye(3, 6, dtype="float32"), ["x", "b", "c"], 10.0
    )
    with pytest.raises(ValueError, match="predictions"):
        finetune.interpolate(classifier(), named, 0.5)


def test_a_sweep_measures_every_share_and_takes_the_best_mean():
    first = tiny_vit(num_classes=3)
    second = finetune.copied(first)
    second.get_layer("head").bias.assign([1.0, 2.0, 3.0])
    first.get_layer("head").bias.assign([0.0, 0.0, 0.0])

    def share(model):
        return float(ops.convert_to_numpy(model.get_layer("head").bias)[0])

    functions = {"task": share, "elsewhere": lambda model: 1 - share(model) ** 2}
    found = finetune.sweep(first, second, functions, (0.0, 0.25, 0.5, 1.0))
    np.testing.assert_allclose(found.scores["task"], [0, 0.25, 0.5, 1], atol=1e-6)
    np.testing.assert_allclose(found.scores["elsewhere"], [1, 0.9375, 0.75, 0], atol=1e-6)
    assert found.best == 0.5  # means: 0.5, 0.59, 0.625, 0.5
    assert found.table()[1][0] == 0.25 and found.to_dict()["alphas"] == [0.0, 0.25, 0.5, 1.0]
    level = finetune.sweep(first, second, {"same": lambda model: 0.5}, (1.0, 0.25, 0.5))
    assert level.best == 0.25
    with pytest.raises(ValueError, match="at least one alpha"):
        finetune.sweep(first, second, {})


def test_the_curve_says_where_the_best_is(tmp_path):
    found = finetune.Sweep(
        (0.0, 0.5, 1.0), {"task": (0.4, 0.8, 0.9), "elsewhere": (0.7, 0.65, 0.3)}, 0.5
    )
    figure = plot.wise_ft(found)
    (axes,) = figure.axes
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[70, 40], [65, 80], [30, 90]])
    np.testing.assert_allclose(axes.lines[1].get_xydata(), [[65, 80]])
    said = [text.get_text() for text in axes.texts]
    assert {"zero-shot (0)", "fine-tuned (1)", "0.5"} < set(said)
    assert "best at 0.5: 80.0 % and 65.0 %" in said
    plot.save(figure, tmp_path / "wise.png")
    assert (tmp_path / "wise.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="no score 'other'"):
        plot.wise_ft(found, elsewhere="other")
