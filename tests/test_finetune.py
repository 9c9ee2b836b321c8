"""Fine-tuning: what trains, by which loss and labels, from where, and between two models."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import CONTEXT, tiny_clip, tiny_images, tiny_tokenizer, tiny_vit

from keras_clip import evaluate, finetune
from keras_clip.finetune.class_batches import ClassBatches, OneHot, Prompted
from keras_clip.finetune.examples import examples
from keras_clip.models.features import feature_model
from keras_clip.models.weights import named_weights

LABELS = np.arange(12) % 3
# What is compiled costs JAX seconds: there, these are among the slow tests.
compiled = pytest.mark.slow if keras.backend.backend() == "jax" else (lambda test: test)
NAMES = ["a cat", "a dog", "a bird"]


def values(model):
    return {name: ops.convert_to_numpy(weight) for name, weight in named_weights(model).items()}


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def clip():
    keras.utils.set_random_seed(0)
    return tiny_clip(tokenizer=tiny_tokenizer())


@pytest.fixture(scope="module")
def pixels():
    return tiny_images(12)


@pytest.mark.parametrize("smoothing", [pytest.param(0.0, marks=pytest.mark.slow), 0.2])
def test_a_step_of_the_head_is_the_gradient_of_cross_entropy(clip, pixels, smoothing):
    model = finetune.only_head(finetune.copied(clip).zero_shot_classifier(NAMES))
    head = ops.convert_to_numpy(model.get_layer("head").kernel).astype("float64")
    rows = clip.get_layer("vision").predict(pixels, verbose=0).astype("float64")
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    wanted = np.eye(3)[LABELS] * (1 - smoothing) + smoothing / 3
    shares = softmax(rows @ head)
    before = values(model)
    history = finetune.tune(
        model, (pixels, LABELS), epochs=1, batch_size=12, verbose=0, label_smoothing=smoothing,
        optimizer=keras.optimizers.SGD(0.5),
    )  # fmt: skip
    loss = -np.mean(np.sum(wanted * np.log(shares), axis=1))
    np.testing.assert_allclose(history.history["loss"][0], loss, rtol=1e-5)
    step = 0.5 * rows.T @ (shares - wanted) / 12
    found = values(model)
    np.testing.assert_allclose(found.pop("head/kernel"), head - step, atol=1e-5)
    for name, array in found.items():  # all else is frozen
        np.testing.assert_array_equal(array, before[name])


def test_a_picture_that_is_very_wrong_still_has_a_gradient():
    images = keras.Input((2,))
    logits = keras.layers.Dense(2, use_bias=False, name="head")(images)
    outputs = keras.layers.Activation("softmax", name="predictions")(logits)
    model = keras.Model(images, outputs)
    model.get_layer("head").kernel.assign([[90.0, 0.0], [0.0, 90.0]])
    rows = np.array([[1.0, 0.0], [0.0, 1.0]], "float32")
    finetune.tune(
        model, (rows, np.array([1, 0])), epochs=1, verbose=0, optimizer=keras.optimizers.SGD(1.0)
    )
    # The share of the right class is exp(-90): the gradient of its logit is -1 a picture.
    expected = [[89.5, 0.5], [0.5, 89.5]]
    np.testing.assert_allclose(ops.convert_to_numpy(model.weights[0]), expected, atol=1e-5)


@compiled
def test_contrastive_fine_tuning_takes_sentences_of_the_class_and_no_class_as_its_own_negative(
    clip, pixels
):
    model, losses = finetune.copied(clip), []
    seen = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: losses.append(float(logs["loss"]))
    )
    texts = clip.embed_texts([f"a photo of {name}" for name in NAMES])
    logits = model.scale * clip.get_layer("vision").embed_images(_raw(12)) @ texts[LABELS].T
    same = LABELS[:, None] == LABELS
    by_image, by_text = (
        -np.mean(np.sum(same * np.log(softmax(one.astype("float64"))), axis=1) / same.sum(axis=1))
        for one in (logits, logits.T)
    )
    classifier = finetune.flyp(
        model, (_raw(12), LABELS), NAMES, "a photo of {}", [seen], verbose=0, epochs=1,
        batch_size=12, optimizer=keras.optimizers.SGD(0.01),
    )  # fmt: skip
    np.testing.assert_allclose(losses[0], (by_image + by_text) / 2, rtol=1e-5)
    for tower in ("vision", "text"):
        old, new = values(clip.get_layer(tower)), values(model.get_layer(tower))
        assert not np.array_equal(old["projection/kernel"], new["projection/kernel"])
    expected = model.zero_shot_classifier(NAMES, "a photo of {}").predict(pixels, verbose=0)
    np.testing.assert_array_equal(classifier.predict(pixels, verbose=0), expected)


def _raw(count):
    return np.random.default_rng(0).integers(0, 256, (count, 8, 12, 3), "uint8")


def test_prompts_are_of_the_class_and_drawn_anew():
    table = [np.full((4, CONTEXT), 10 * k, "int32") + np.arange(4)[:, None] for k in range(3)]
    found = examples((tiny_images(12), LABELS))
    batches = ClassBatches(found, 5, form=Prompted(table), drop_last=True)
    assert len(batches) == 2
    (x, y), again = batches[1], batches[1]
    np.testing.assert_array_equal(x["token_ids"][:, 0] // 10, y)
    np.testing.assert_array_equal(again[0]["token_ids"], x["token_ids"])
    drawn = {int(row) for k in range(8) for row in _epoch(batches)[:, 0] % 10}
    assert drawn == {0, 1, 2, 3}


def _epoch(batches):
    rows = np.concatenate([batches[k][0]["token_ids"] for k in range(len(batches))])
    batches.on_epoch_end()
    return rows


@compiled
def test_a_probe_is_that_of_evaluate_and_lp_ft_starts_from_it(clip, pixels):
    rows = feature_model(clip).predict(pixels, verbose=0)
    fitted = evaluate.linear_probe(rows, LABELS, rows, LABELS, C=1.0)
    probe = finetune.linear_probe(finetune.copied(clip), (pixels, LABELS), 1.0, NAMES)
    shares = softmax(fitted.logits(rows))
    np.testing.assert_allclose(probe.predict(pixels, verbose=0), shares, atol=1e-5)
    assert probe.get_layer("predictions").class_names == tuple(NAMES)
    assert {weight.path for weight in probe.trainable_variables} == {"head/kernel", "head/bias"}
    still = keras.optimizers.SGD(0.0)
    started = finetune.lp_ft(
        finetune.copied(clip), (pixels, LABELS), C=1.0, verbose=0, epochs=1, optimizer=still
    )
    np.testing.assert_allclose(started.predict(pixels, verbose=0), shares, atol=1e-5)
    assert len(started.trainable_variables) == len(started.weights)


@compiled
@pytest.mark.parametrize("layer", ["MixUp", "CutMix"])
def test_mixed_pictures_have_mixed_labels(layer):
    # Every picture is its class's number everywhere, so its mean tells the shares.
    flat = np.broadcast_to(LABELS[:, None, None, None].astype("float32"), (12, 64, 64, 3)).copy()
    mixed = OneHot(3, getattr(keras.layers, layer)(seed=1))
    batches = ClassBatches(examples((flat, LABELS)), 12, form=mixed)
    means, seen = [], []
    for _ in range(3):
        x, y = batches[0]
        np.testing.assert_allclose(y.sum(axis=1), 1, atol=1e-5)
        means.append(x.mean(axis=(1, 2, 3)))
        seen.append(y @ np.arange(3))
    # Keras gives the area of a box before its edges are rounded to pixels: a row and a column of
    # 64 at most, times the largest difference of classes.
    most = 1e-4 if layer == "MixUp" else 2 * 2 / 64
    np.testing.assert_allclose(np.concatenate(means), np.concatenate(seen), atol=most)
    assert np.any(np.concatenate(seen) % 1 > 0.01)


@compiled
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")
def test_a_vit_trains_with_mixup_and_smoothing_by_its_own_fit():
    vit = tiny_vit(num_classes=3, stochastic_depth_rate=0.1)
    shares = np.eye(3, dtype="float32")[LABELS]
    mixed = _Mixed(tiny_images(12), shares, keras.layers.MixUp(seed=0))
    vit.compile(
        keras.optimizers.AdamW(0.01),
        keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        metrics=["accuracy"],
    )
    history = vit.fit(mixed, validation_data=(tiny_images(12), shares), epochs=6, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert set(history.history) == {"accuracy", "loss", "val_accuracy", "val_loss"}


class _Mixed(keras.utils.PyDataset):
    """Batches through a Keras layer that mixes pictures and labels."""

    def __init__(self, images, shares, layer):
        super().__init__()
        self.images, self.shares, self.layer = images, shares, layer

    def __len__(self):
        return 2

    def __getitem__(self, index):
        rows = slice(6 * index, 6 * index + 6)
        x = self.layer({"images": self.images[rows], "labels": self.shares[rows]}, training=True)
        return ops.convert_to_numpy(x["images"]), ops.convert_to_numpy(x["labels"])


@pytest.mark.slow
def test_data_sets_give_class_numbers_or_shares(pixels):
    vit = tiny_vit(num_classes=3)
    numbers = _Batches(pixels, LABELS)
    still = {"epochs": 1, "verbose": 0}
    first = finetune.tune(vit, numbers, optimizer=keras.optimizers.SGD(0.0), **still)
    shares = _Batches(pixels, np.eye(3, dtype="float32")[LABELS])
    second = finetune.tune(vit, shares, optimizer=keras.optimizers.SGD(0.0), **still)
    np.testing.assert_allclose(first.history["loss"], second.history["loss"], rtol=1e-5)
    with pytest.raises(ValueError, match="gives shares"):
        finetune.tune(vit, numbers, label_smoothing=0.1, **still)
    with pytest.raises(ValueError, match="apply the layer in the data set"):
        finetune.tune(vit, numbers, mix=keras.layers.MixUp(), **still)


class _Batches(_Mixed):
    def __init__(self, images, labels):
        super().__init__(images, labels, None)

    def __getitem__(self, index):
        rows = slice(6 * index, 6 * index + 6)
        return self.images[rows], self.shares[rows]
