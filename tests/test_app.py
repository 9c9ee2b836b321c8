"""The local page: what its buttons answer, and what they say of bad input."""

from functools import partial

import numpy as np
import pytest
import small_models
from matplotlib.figure import Figure
from PIL import Image
from small_models import CLIP_CONFIG

from keras_clip import CLIP, CLIPConfig
from keras_clip.app import answers, serving
from keras_clip.app.page import friendly
from keras_clip.models.embedding import embed_rows

gradio = pytest.importorskip("gradio")


@pytest.fixture(scope="module")
def clip():
    return small_models.clip()


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), "uint8"))


def test_classify_answers_as_the_classifier_does(clip, picture):
    labels = ["a cat", "a dog", "[red] fox"]
    found = answers.classify(clip, picture, "a cat, a dog\n [red] fox,", "see {}")
    classifier = clip.zero_shot_classifier(labels, "see {}")
    expected = classifier.predict(clip.image_processor([picture]), verbose=0)[0]
    np.testing.assert_allclose([found[label] for label in labels], expected, atol=1e-5)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_a_model_that_judges_each_label_alone_does_so_here(picture):
    config = CLIPConfig.from_dict({**CLIP_CONFIG, "initial_bias": -1.0})
    clip = CLIP(config, small_models.tokenizer())
    found = answers.classify(clip, picture, "a cat, a dog", "{}")
    classifier = clip.zero_shot_classifier(["a cat", "a dog"], "{}")
    expected = classifier.predict(clip.image_processor([picture]), verbose=0)[0]
    np.testing.assert_allclose([found["a cat"], found["a dog"]], expected, atol=1e-5)


def test_where_draws_a_panel_a_text(clip, picture):
    figure = answers.where(clip, picture, "a cat, a dog")
    assert isinstance(figure, Figure)
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"a cat", "a dog"} <= texts


def test_search_takes_a_text_a_picture_or_both(clip, picture, tmp_path):
    pytest.importorskip("lancedb")
    from keras_clip.data import open_pictures
    from keras_clip.search import Index, combine
    from keras_clip.search.description import Description

    (tmp_path / "photos").mkdir()
    random = np.random.default_rng(1)
    for name in "abcd":
        pixels = random.integers(0, 256, (32, 32, 3), "uint8")
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.png")
    towers = {name: clip.get_layer(name) for name in ("vision", "text")}
    index = Index.create(tmp_path / "index", Description.of("small", **towers))
    pictures = open_pictures(tmp_path / "photos")
    embed = partial(embed_rows, clip.get_layer("vision"))
    index.update(pictures, clip.image_processor, embed, progress=False)
    like = Image.open(tmp_path / "photos" / "c.png")
    (first, caption), *others = answers.search(clip, index, "", like, 3)
    assert first == str(tmp_path / "photos" / "c.png") and caption == "1.000  c.png"
    assert len(others) == 2
    both = answers.search(clip, index, "a cat", like, 4)
    vectors = np.concatenate([clip.embed_texts("a cat"), clip.embed_images(like)])
    paths = [tmp_path / "photos" / f"{name}.png" for name in "abcd"]
    cosines = clip.embed_images(paths) @ combine(vectors)
    assert [path for path, _ in both] == [str(paths[k]) for k in np.argsort(-cosines)]


def test_bad_input_is_said_in_a_sentence(clip, picture):
    cases = [
        (lambda: answers.classify(clip, None, "a"), "Give a picture first."),
        (lambda: answers.classify(clip, picture, " , "), "Give some labels"),
        (lambda: answers.classify(clip, picture, "a", "photo"), "'photo'"),
        (lambda: answers.classify(clip, picture, "a, a"), "'a'"),
        (lambda: answers.where(clip, picture, ""), "Give some texts"),
        (lambda: answers.search(clip, None, " ", None), "Say what to find"),
    ]
    for call, said in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert said in str(caught.value)


def test_the_page_shows_an_error_as_what_it_says(clip):
    with pytest.raises(gradio.Error, match="Give a picture first"):
        friendly(lambda *values: answers.classify(clip, *values))(None, "a")
    with pytest.raises(ZeroDivisionError):  # a fault of ours is not dressed up
        friendly(lambda: 1 / 0)()


def test_a_model_without_texts_has_no_page(tmp_path):
    small_models.vit().save_to_preset(tmp_path / "vit")
    with pytest.raises(ValueError, match="is no CLIP"):
        serving.serve(str(tmp_path / "vit"))
