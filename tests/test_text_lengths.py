"""Padding that no text of a batch reaches is left out, and nothing changes by it."""

import keras
import numpy as np
import pytest
from gradients import step
from tiny_models import CONTEXT, tiny_clip, tiny_images, tiny_token_ids

from keras_clip.models.text_lengths import cut_texts
from keras_clip.train import ContrastiveLoss

PAIRS = 6


def short_texts(length):
    """Rows of start, ids, end and padding, of `length` tokens and two fewer."""
    token_ids = tiny_token_ids(PAIRS)
    token_ids[:] = 0
    token_ids[:, :length] = np.random.default_rng(2).integers(1, 601, (PAIRS, length))
    token_ids[:, 0] = 601
    token_ids[:3, length - 1] = token_ids[3:, length - 3] = 602
    token_ids[3:, length - 2 :] = 0
    return token_ids


def seen(clip):
    """Let a model note the widths of the token ids that it is called on."""
    widths, called = [], clip.call
    clip.call = lambda x, **more: (widths.append(x["token_ids"].shape[-1]), called(x, **more))[1]
    return widths


@pytest.mark.parametrize(
    ("text", "captions"),
    [({"pooling": "highest_id"}, 1), ({"pooling": "end_token", "end_token_id": 602}, 2)],
)
def test_gradients_are_those_of_whole_rows(text, captions):
    keras.utils.set_random_seed(0)
    clip = tiny_clip(text=text)
    weights, widths = clip.get_weights(), seen(clip)
    images, token_ids = tiny_images(PAIRS // captions), short_texts(7)
    if captions > 1:
        token_ids = token_ids.reshape(-1, captions, CONTEXT)
    pairs = {"images": images, "token_ids": token_ids}
    loss, gradients = step(clip, pairs)
    assert set(widths) == {8}  # the nearest of few lengths
    clip.set_weights(weights)
    expected, of_whole = step(clip, keras.tree.map_structure(keras.ops.convert_to_tensor, pairs))
    assert set(widths) == {8, CONTEXT}  # what is no array stays as it is
    assert loss == pytest.approx(expected, abs=1e-6)
    for name, gradient in of_whole.items():
        largest = max(np.abs(gradient).max(), 1e-3)
        np.testing.assert_allclose(gradients[name], gradient, atol=1e-5 * largest, err_msg=name)


def test_fit_and_evaluate_cut():
    clip = tiny_clip()
    widths = seen(clip)
    clip.compile("sgd")
    pairs = {"images": tiny_images(PAIRS), "token_ids": short_texts(11)}
    clip.fit(pairs, batch_size=PAIRS, validation_data=pairs, verbose=0)
    clip.evaluate(pairs, batch_size=PAIRS, verbose=0)
    clip.test_on_batch(pairs)
    assert set(widths) == {12}


def test_hosts_of_one_batch_get_all(monkeypatch):
    monkeypatch.setattr("keras_clip.models.contrastive_model.host_count", lambda: 2)
    clip = tiny_clip()
    widths = seen(clip)
    clip.compile("sgd")
    clip.test_on_batch({"images": tiny_images(PAIRS), "token_ids": short_texts(5)})
    assert set(widths) == {CONTEXT}


@pytest.mark.parametrize("text", [{"causal": False}, {"pooling": "last"}])
def test_a_tower_that_reads_all_gets_all(text):
    config, token_ids = tiny_clip(text=text).config.text, short_texts(5)
    assert cut_texts(token_ids, config).shape == (PAIRS, CONTEXT)
    assert cut_texts(token_ids, tiny_clip().config.text, config).shape == (PAIRS, CONTEXT)


def test_a_teacher_that_reads_all_gets_all():
    teacher = tiny_clip(text={"causal": False})
    clip = tiny_clip()
    widths = seen(clip)
    clip.compile("sgd", ContrastiveLoss(teacher=teacher))
    clip.train_on_batch({"images": tiny_images(PAIRS), "token_ids": short_texts(5)})
    assert set(widths) == {CONTEXT}
