"""Zero-shot classifiers: prompts, synonyms, open_clip's numbers, new classes, the cache on disk."""

import keras
import numpy as np
import pytest
from tiny_models import tiny_clip, tiny_images, tiny_tokenizer

from keras_clip.models import class_cache, zero_shot
from keras_clip.models.prompts import Prompts

LABELS = ["cat", "dog", "bird"]
TEMPLATES = ["a photo of a {}.", "{}", "the {} itself"]


@pytest.fixture(scope="module")
def clip():
    return tiny_clip(tokenizer=tiny_tokenizer())


def as_numpy(x):
    return keras.ops.convert_to_numpy(x)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def by_hand(clip, sentences):
    """A class by the paper's words: embed, normalise, average, normalise."""
    encoded = as_numpy(clip.encode_text(clip.tokenizer(list(sentences))))
    return unit(unit(encoded).mean(axis=0))


class ForOpenClip:
    """This model behind the two calls that open_clip's builder makes."""

    def __init__(self, clip):
        self.clip = clip

    def encode_text(self, token_ids, normalize):
        import torch

        rows = torch.tensor(as_numpy(self.clip.encode_text(token_ids.numpy().astype("int32"))))
        return torch.nn.functional.normalize(rows, dim=-1) if normalize else rows


def test_class_embeddings_are_those_of_open_clips_builder(clip):
    import torch

    open_clip = pytest.importorskip("open_clip")
    expected = open_clip.build_zero_shot_classifier(
        ForOpenClip(clip), lambda texts: torch.tensor(clip.tokenizer(texts)), LABELS, TEMPLATES
    ).T.numpy()
    np.testing.assert_allclose(clip.class_embeddings(LABELS, TEMPLATES), expected, atol=1e-6)


def test_synonyms_are_averaged_within_their_class(clip):
    found = clip.class_embeddings([["cat", "kitten"], "dog"], TEMPLATES)
    kittens = [t.replace("{}", name) for name in ("cat", "kitten") for t in TEMPLATES]
    dogs = [template.replace("{}", "dog") for template in TEMPLATES]
    np.testing.assert_allclose(found, [by_hand(clip, kittens), by_hand(clip, dogs)], atol=1e-6)
    names = clip.zero_shot_classifier([["cat", "kitten"], "dog"]).get_layer("predictions")
    assert names.class_names == ("cat", "dog")


def test_a_class_may_have_sentences_of_its_own(clip):
    sentences = {"cat": ["it purrs", "a cat on a mat"], "dog": "it barks"}
    found = clip.class_embeddings(sentences)
    expected = [by_hand(clip, sentences["cat"]), by_hand(clip, [sentences["dog"]])]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    "labels, message",
    [
        (["cat", " "], "says something"),
        (["cat", "  cat"], "more than once.*cat"),
        ([["cat", "kitten"], ["cat"]], "more than once.*cat"),
        (["Cat", "cat"], "'Cat' and 'cat' are the same to the model"),
        ({"a": ["it purrs"], "b": ["it  purrs"]}, "'a' and 'b' are the same"),
        ([["cat"], []], "its list is empty"),
        ({"cat": []}, "its list is empty"),
        ({}, "at least one"),
        ({"cat": 3}, "not 3"),
    ],
)
def test_labels_that_cannot_be_told_apart_are_refused(clip, labels, message):
    with pytest.raises(ValueError, match=message):
        clip.class_embeddings(labels)


def test_published_sets_may_repeat_a_name(clip):
    prompts = Prompts.from_labels(["missile", "cat", "missile"], distinct=False)
    found = clip.class_embeddings(prompts)
    np.testing.assert_allclose(found[0], found[2], atol=1e-6)


def logits_of(classifier, pixels):
    outputs = keras.Model(classifier.input, classifier.get_layer("head").output)
    return as_numpy(outputs(pixels))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_new_classes_come_beside_the_old(clip, activation):
    pixels = tiny_images(3)
    small = clip.zero_shot_classifier(LABELS[:2], TEMPLATES, activation)
    grown = clip.extend_classifier(small, LABELS[2:], TEMPLATES)
    whole = clip.zero_shot_classifier(LABELS, TEMPLATES, activation)
    np.testing.assert_allclose(logits_of(grown, pixels), logits_of(whole, pixels), atol=1e-5)
    np.testing.assert_allclose(as_numpy(grown(pixels)), as_numpy(whole(pixels)), atol=1e-5)
    assert grown.get_layer("predictions").class_names == tuple(LABELS)
    assert grown.get_layer("predictions").activation == activation


def test_old_classes_are_not_embedded_again(clip, monkeypatch):
    small = clip.zero_shot_classifier(LABELS[:2])
    asked = []
    tokenizer = clip.tokenizer
    monkeypatch.setattr(clip, "_tokenizer", lambda texts: asked.append(texts) or tokenizer(texts))
    clip.extend_classifier(small, ["bird"])
    assert asked == [["a photo of a bird."]]


def test_what_cannot_be_extended(clip):
    classifier = clip.zero_shot_classifier(LABELS)
    with pytest.raises(ValueError, match=r"already.*dog"):
        clip.extend_classifier(classifier, ["dog"])
    with pytest.raises(ValueError, match="not what zero_shot_classifier"):
        clip.extend_classifier(clip.get_layer("vision"), ["fox"])


def test_a_classifier_is_quantised_and_then_refuses_new_classes(clip):
    # Built from another image tower, since quantising changes it for all who share it.
    own = tiny_clip(tokenizer=tiny_tokenizer())
    classifier = own.zero_shot_classifier(LABELS)
    pixels = tiny_images(3)
    before = as_numpy(classifier(pixels))
    classifier.quantize("int8")
    assert classifier.get_layer("head").quantization_mode == "int8"
    np.testing.assert_allclose(
        as_numpy(classifier(pixels)), before, atol=0.1
    )  # 8 bits, 14 times a cosine
    with pytest.raises(ValueError, match="quantised: change its head first"):
        own.extend_classifier(classifier, ["fox"])


def test_a_saved_classifier_knows_its_classes(clip, tmp_path):
    clip.zero_shot_classifier(LABELS).save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras")
    assert loaded.get_layer("predictions").class_names == tuple(LABELS)


def test_wrong_predictions():
    from keras_clip.layers import Predictions

    with pytest.raises(ValueError, match="softmax, sigmoid or None"):
        Predictions("relu")
    with pytest.raises(ValueError, match="2 class names for 3 classes"):
        Predictions(class_names=["a", "b"])(np.zeros((1, 3), "float32"))


# --- the cache


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_CLIP_CACHE", str(tmp_path))
    monkeypatch.setattr(class_cache, "FEWEST", 2)
    return tmp_path / "class_vectors"


@pytest.fixture
def embedded(clip, monkeypatch):
    """Counts how often the text tower is asked."""
    calls, text = [], clip.get_layer("text")
    embed = text.embed_token_ids

    def counted(token_ids, *arguments):
        calls.append(len(token_ids))
        return embed(token_ids, *arguments)

    monkeypatch.setattr(text, "embed_token_ids", counted, raising=False)
    return calls


def test_the_second_time_comes_from_disk(clip, cache, embedded):
    first = clip.class_embeddings(LABELS, TEMPLATES)
    np.testing.assert_array_equal(clip.class_embeddings(LABELS, TEMPLATES), first)
    assert embedded == [9] and len(list(cache.iterdir())) == 1
    clip.class_embeddings(LABELS, TEMPLATES, use_cache=False)
    assert embedded == [9, 9]


def test_other_labels_templates_or_classes_are_other_entries(clip, cache, embedded):
    clip.class_embeddings(["cat", "dog"], "{}")
    clip.class_embeddings(["dog", "cat"], "{}")
    clip.class_embeddings([["cat", "dog"]], "{}")  # the same tokens, in one class
    clip.class_embeddings(["cat", "dog"], "a {}")
    assert len(embedded) == len(list(cache.iterdir())) == 4


def test_other_weights_are_another_entry(clip, cache, embedded):
    clip.class_embeddings(LABELS)
    weight = clip.get_layer("text").weights[-1]
    kept = as_numpy(weight)
    weight.assign(kept * 1.5 + 0.01)
    clip.class_embeddings(LABELS)
    weight.assign(kept)
    clip.class_embeddings(LABELS)
    assert embedded == [3, 3]


def test_a_damaged_entry_is_made_again(clip, cache, embedded):
    first = clip.class_embeddings(LABELS)
    (path,) = cache.iterdir()
    path.write_bytes(path.read_bytes()[:-7])
    np.testing.assert_array_equal(clip.class_embeddings(LABELS), first)
    assert embedded == [3, 3]
    assert path.stat().st_size > 3 * 6 * 4


def test_a_cache_that_cannot_be_written_changes_no_answer(clip, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KERAS_CLIP_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(class_cache, "FEWEST", 2)
    found = clip.class_embeddings(LABELS)
    np.testing.assert_allclose(found, clip.class_embeddings(LABELS, use_cache=False), atol=0)


def test_rescaled_logits(clip):
    pixels, bias = tiny_images(2), np.array([0.5, -1.0, 2.0], "float32")
    classifier = clip.zero_shot_classifier(LABELS)
    changed = zero_shot.rescaled(zero_shot.rescaled(classifier, 4.0, bias), 0.5, bias)
    expected = (logits_of(classifier, pixels) / 4.0 + bias) / 0.5 + bias
    np.testing.assert_allclose(logits_of(changed, pixels), expected, atol=1e-5)
