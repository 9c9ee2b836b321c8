"""Drift of zero-shot answers, against a calculation by hand, and measures of `Evaluate`."""

import csv

import keras
import numpy as np
import pytest
from PIL import Image
from tiny_models import IMAGE_SIZE, tiny_clip, tiny_pairs, tiny_tokenizer

from keras_clip.train.drift import ZeroShotDrift
from keras_clip.train.evaluation import Evaluate
from keras_clip.train.measures import retrieval, zero_shot

LABELS, PICTURES, PAIRS = ("cat", "dog", "a red bus"), 7, 6


@pytest.fixture(scope="module")
def clip():
    model = tiny_clip(tokenizer=tiny_tokenizer(), pooling="mean")
    model.compile(keras.optimizers.AdamW(0.01))
    return model


def pictures():
    shape = (PICTURES, *IMAGE_SIZE, 3)
    return np.random.default_rng(5).integers(0, 256, shape, dtype="uint8")


def by_hand(clip):
    """(n, dim), (K, dim), (n, K) in float64."""
    images = clip.embed_images(pictures()).astype("float64")
    texts = clip.embed_texts([f"a photo of a {label}." for label in LABELS]).astype("float64")
    return images, texts, clip.scale * images @ texts.T


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def fit(clip, *callbacks, epochs=4):
    clip.fit(
        tiny_pairs(PAIRS), batch_size=PAIRS, epochs=epochs, verbose=0, callbacks=list(callbacks)
    )


def test_drift_by_hand(clip):
    before = by_hand(clip)
    truths = before[2].argmax(axis=1)
    truths[0] = (truths[0] + 1) % 3  # the model is wrong about one picture
    callback = ZeroShotDrift(pictures(), LABELS, truths, every=2)
    fit(clip, callback)
    now = by_hand(clip)
    assert [step for step, _ in callback.history] == [1, 2, 3, 4]  # an epoch is one step here
    found = callback.history[-1][1]
    old, new = softmax(before[2]), softmax(now[2])
    right = np.mean(now[2].argmax(axis=1) == truths)
    expected = {
        "image_cosine": np.sum(before[0] * now[0], axis=1).mean(),
        "text_cosine": np.sum(before[1] * now[1], axis=1).mean(),
        "changed": np.mean(before[2].argmax(axis=1) != now[2].argmax(axis=1)),
        "divergence": np.sum(old * np.log(old / new), axis=1).mean(),
        "top1": right,
        "lost": (PICTURES - 1) / PICTURES - right,
    }
    assert set(found) == {f"drift/{name}" for name in expected}
    for name, value in expected.items():
        np.testing.assert_allclose(found[f"drift/{name}"], value, rtol=2e-5, atol=2e-6)
    assert expected["image_cosine"] < 0.999 and expected["divergence"] > 1e-4


def test_too_much_drift_ends_the_run(clip):
    callback = ZeroShotDrift(pictures(), LABELS, every=1, stop_above={"divergence": 0.0})
    fit(clip, callback, epochs=9)
    assert len(callback.history) == 1
    assert set(callback.history[0][1]) == {
        "drift/image_cosine", "drift/text_cosine", "drift/changed", "drift/divergence",
    }  # fmt: skip


def test_another_model_that_shares_the_towers(clip):
    """Fine-tuning a classifier is compared by the CLIP whose tower it moves."""
    classifier = clip.zero_shot_classifier(list(LABELS))
    pixels = clip.image_processor(pictures())
    classifier.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    callback = ZeroShotDrift(pixels, LABELS, every=1, clip=clip)
    before = clip.embed_images(pictures())
    classifier.fit(
        pixels, np.zeros(PICTURES), batch_size=PICTURES, epochs=2, verbose=0, callbacks=[callback]
    )
    after = clip.embed_images(pictures())
    found = callback.history[-1][1]
    expected = np.sum(before * after, axis=1).mean()
    np.testing.assert_allclose(found["drift/image_cosine"], expected, rtol=1e-5)
    assert found["drift/text_cosine"] == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(ValueError, match="is no CLIP"):
        classifier.fit(
            pixels, np.zeros(PICTURES), verbose=0, callbacks=[ZeroShotDrift(pixels, LABELS)]
        )


@pytest.mark.parametrize("truths", [[0] * 6, [3] * PICTURES, [-1] * PICTURES])
def test_truths_that_do_not_fit(truths):
    with pytest.raises(ValueError, match="7 ints from 0 to 2"):
        ZeroShotDrift(pictures(), LABELS, truths)


@pytest.mark.parametrize("limits", [{"lost": 0.1}, {"image_cosine": 0.9}])
def test_limits_that_do_not_exist(limits):
    with pytest.raises(ValueError, match="changed, divergence, lost"):
        ZeroShotDrift(pictures(), LABELS, stop_above=limits)


def test_measures_are_those_of_the_evaluations(clip, tmp_path):
    with open(tmp_path / "table.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "label", "caption"))
        for number, pixels in enumerate(pictures()):
            Image.fromarray(pixels).save(tmp_path / f"{number}.png")
            rows.writerow((f"{number}.png", LABELS[number % 3], f"a {LABELS[number % 3]} {number}"))
    table = tmp_path / "table.csv"
    evaluate = Evaluate(None, {"zero_shot": zero_shot(table), "found": retrieval(table, ks=(1, 5))})
    fit(clip, evaluate, epochs=1)
    images, _, logits = by_hand(clip)
    found = evaluate.history[-1][1]
    truths = np.arange(PICTURES) % 3
    right = np.mean(logits.argmax(axis=1) == truths)
    assert found["zero_shot/top1"] == pytest.approx(right)
    captions = clip.embed_texts([f"a {LABELS[k % 3]} {k}" for k in range(PICTURES)])
    cosines = images @ captions.T
    for k in (1, 5):
        own = np.arange(PICTURES)
        ranks = np.sum(cosines > np.diag(cosines)[:, None], axis=1)
        assert found[f"found/image_to_text@{k}"] == pytest.approx(np.mean(ranks < k))
        ranks = np.sum(cosines > cosines[own, own][None], axis=0)
        assert found[f"found/text_to_image@{k}"] == pytest.approx(np.mean(ranks < k))
