"""CLIP: outputs, encoders, raw inputs, unequal numbers of images and texts, zero-shot."""

import keras
import numpy as np
import pytest
from tiny_models import (
    tiny_clip,
    tiny_images,
    tiny_pairs,
    tiny_token_ids,
    tiny_tokenizer,
)

from keras_clip.models.clip import CLIP

# Three everywhere, since on JAX every other number compiles anew.
TEXTS = ["a cat", "a photo of a small dog on a red chair", "two cats"]


def as_numpy(x):
    return keras.ops.convert_to_numpy(x)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def clip():
    return tiny_clip(tokenizer=tiny_tokenizer())


@pytest.fixture(scope="module")
def pictures():
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (9 + i, 14, 3), "uint8") for i in range(3)]


# --- outputs


@pytest.mark.parametrize("dtype", [None, "mixed_float16", "mixed_bfloat16"])
def test_outputs_are_unit_vectors_in_float32(dtype):
    model = tiny_clip(dtype)
    outputs = model.predict_on_batch(tiny_pairs(3))
    for name in ("image_embeddings", "text_embeddings", "logits"):
        assert outputs[name].dtype == np.float32, name
        assert keras.backend.standardize_dtype(model.output[name].dtype) == "float32", name
    images, texts = outputs["image_embeddings"], outputs["text_embeddings"]
    np.testing.assert_allclose(np.linalg.norm(images, axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose(outputs["logits"], images @ texts.T / 0.07, rtol=1e-5, atol=1e-5)
    log_scale = model.get_layer("logit_scale").log_scale
    assert keras.backend.standardize_dtype(log_scale.dtype) == "float32"


@pytest.mark.parametrize("n, m", [(1, 3), (3, 1)])
def test_as_many_images_as_texts_or_not(clip, n, m):
    inputs = {"images": tiny_images(n), "token_ids": tiny_token_ids(m)}
    outputs = clip(inputs)
    assert tuple(outputs["logits"].shape) == (n, m)
    predicted = clip.predict(inputs, batch_size=2, verbose=0)
    assert set(predicted) == set(outputs)
    for name, output in outputs.items():
        np.testing.assert_allclose(predicted[name], as_numpy(output), atol=1e-5, err_msg=name)


def test_encoders_are_the_towers_before_the_norm(clip):
    pairs = tiny_pairs(3)
    outputs = clip(pairs)
    images, texts = clip.encode_image(pairs["images"]), clip.encode_text(pairs["token_ids"])
    np.testing.assert_allclose(
        unit(as_numpy(images)), as_numpy(outputs["image_embeddings"]), atol=1e-6
    )
    np.testing.assert_allclose(
        unit(as_numpy(texts)), as_numpy(outputs["text_embeddings"]), atol=1e-6
    )
    assert abs(np.linalg.norm(as_numpy(images), axis=-1) - 1).max() > 0.01


def test_encoders_are_differentiable(clip, backend):
    images = tiny_images(2)
    if backend == "jax":
        import jax

        gradient = jax.grad(lambda x: clip.encode_image(x).sum())(images)
    elif backend == "torch":
        x = keras.ops.convert_to_tensor(images).requires_grad_()
        clip.encode_image(x).sum().backward()
        gradient = x.grad
    else:
        import tensorflow as tf

        x = tf.constant(images)
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(clip.encode_image(x))
        gradient = tape.gradient(total, x)
    gradient = as_numpy(gradient)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


# --- raw inputs


@pytest.mark.parametrize("batch_size", [2, 32])
def test_embed_texts_is_the_call(clip, batch_size):
    expected = unit(as_numpy(clip.encode_text(clip.tokenizer(TEXTS))))
    got = clip.embed_texts(TEXTS, batch_size=batch_size)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_allclose(clip.embed_texts(TEXTS[1]), expected[1:2], atol=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        {"causal": False},
        {"pooling": "last"},
        {"pooling": "end_token", "end_token_id": 602},
    ],
    ids=str,
)
def test_embed_texts_of_other_towers(text):
    model = tiny_clip(tokenizer=tiny_tokenizer(), text=text)
    expected = unit(as_numpy(model.encode_text(model.tokenizer(TEXTS))))
    np.testing.assert_allclose(model.embed_texts(TEXTS, batch_size=2), expected, atol=1e-6)


@pytest.mark.parametrize("batch_size", [2, 32])
def test_embed_images_is_the_call(clip, pictures, batch_size):
    expected = unit(as_numpy(clip.encode_image(clip.image_processor(pictures))))
    got = clip.embed_images(pictures, batch_size=batch_size)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_allclose(clip.embed_images(pictures[1]), expected[1:2], atol=1e-6)


def test_embed_an_array_of_images(clip, pictures):
    array = np.stack([picture[:9] for picture in pictures])
    np.testing.assert_array_equal(clip.embed_images(array), clip.embed_images(list(array)))


@pytest.mark.parametrize("call", ["embed_images", "embed_texts"])
def test_nothing_to_embed(clip, call):
    with pytest.raises(ValueError, match="empty"):
        getattr(clip, call)([])


def test_bad_batch_size(clip):
    with pytest.raises(ValueError, match="batch_size"):
        clip.embed_texts(TEXTS, batch_size=0)


def test_predict_without_an_input(clip):
    with pytest.raises(ValueError, match="token_ids"):
        clip.predict({"images": tiny_images(2)}, verbose=0)
    with pytest.raises(ValueError, match=r"images.*token_ids"):
        clip.predict(tiny_images(2), verbose=0)


def test_no_tokenizer():
    model = tiny_clip()
    for call in (lambda: model.tokenizer, lambda: model.embed_texts(["a cat"])):
        with pytest.raises(ValueError, match=r"no tokenizer.*CLIPTokenizer"):
            call()
    given = CLIP(model.config, tiny_tokenizer())
    assert given.embed_texts("a cat").shape == (1, 6)


# --- zero-shot


def test_zero_shot_by_hand(clip, pictures):
    labels, templates = ["cat", "dog", "bird"], ["a photo of a {}.", "{}"]
    classifier = clip.zero_shot_classifier(labels, templates)
    pixels = clip.image_processor(pictures)
    classes = []
    for label in labels:
        prompts = [template.replace("{}", label) for template in templates]
        classes.append(unit(unit(as_numpy(clip.encode_text(clip.tokenizer(prompts)))).mean(0)))
    logits = clip.scale * unit(as_numpy(clip.encode_image(pixels))) @ np.stack(classes).T
    expected = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(classifier.predict(pixels, verbose=0), expected, atol=1e-5)
    raw = clip.zero_shot_classifier(labels, templates, activation=None)
    np.testing.assert_allclose(as_numpy(raw(pixels)), logits, atol=1e-4)


def test_zero_shot_classifier_saved(clip, pictures, tmp_path):
    classifier = clip.zero_shot_classifier(["cat", "dog"])
    pixels = clip.image_processor(pictures)
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras")
    np.testing.assert_allclose(as_numpy(loaded(pixels)), as_numpy(classifier(pixels)), atol=1e-6)


def test_features_of_a_tower_that_a_classifier_shares(clip):
    clip.zero_shot_classifier(["cat", "dog"])
    vision = clip.get_layer("vision")
    features = keras.Model(vision.input, vision.get_layer("block_0").output)
    assert features(tiny_images(3)).shape == (3, 7, 8)


def test_zero_shot_classifier_trains():
    model = tiny_clip(tokenizer=tiny_tokenizer())
    classifier = model.zero_shot_classifier(["cat", "dog"])
    # Along the gradient, since a larger step may well lead uphill in so small a model.
    classifier.compile(keras.optimizers.SGD(1e-5), "sparse_categorical_crossentropy")
    before = as_numpy(model.get_layer("vision").weights[0])
    loss = classifier.fit(tiny_images(4), np.array([0, 1, 0, 1]), epochs=3, verbose=0)
    assert loss.history["loss"][-1] < loss.history["loss"][0]
    assert (as_numpy(model.get_layer("vision").weights[0]) != before).any()


@pytest.mark.parametrize(
    "labels, templates, message",
    [
        ([], "{}", "at least one"),
        ("cat", "{}", "list"),
        (["cat", "dog", "cat"], "{}", "more than once.*cat"),
        (["cat"], "a photo of a cat", r"a photo of a cat.* no \{\}"),
        (["cat"], ["{}", "photo"], r"photo.* no \{\}"),
        (["cat"], [], "templates"),
        (["cat", 3], "{}", "3"),
    ],
)
def test_bad_labels_and_templates(clip, labels, templates, message):
    with pytest.raises(ValueError, match=message):
        clip.zero_shot_classifier(labels, templates)


# --- configuration
