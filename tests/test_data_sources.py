"""Every kind of source through every reader of data: what its own peer reads, in that order."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from bulk_jobs import PROCESSOR as SQUARE
from bulk_jobs import embed, embed_pixels
from picture_sources import CLASSES, SOURCES, items
from PIL import Image
from search_pictures import MODEL as DESCRIPTION
from search_pictures import PROCESSOR as SMALL
from search_pictures import embed as embed_small
from search_pictures import stored
from tiny_models import tiny_clip, tiny_tokenizer

from keras_clip import bulk, data, evaluate
from keras_clip.evaluate.retrieval import caption_retrieval, retrieval
from keras_clip.finetune.examples import examples
from keras_clip.models.features import feature_model
from keras_clip.search import Index
from keras_clip.train import Pairs

pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
pytest_plugins = ["command_line"]


@pytest.fixture(scope="module")
def clip():
    return tiny_clip(tokenizer=tiny_tokenizer())


@pytest.fixture(scope="module", params=SOURCES)
def source(request, tmp_path_factory):
    """(source, columns, pictures as bytes, labels, captions), the last three read independently."""
    write, read = SOURCES[request.param]
    place, columns = write(tmp_path_factory.mktemp("source"), items())
    found, labels, captions = map(list, zip(*read(place, columns), strict=True))
    assert len(found) == 11 and set(labels) == set(CLASSES)
    return place, columns, found, labels, captions


@pytest.fixture
def pictures(source):
    return data.open_pictures(*source[:2])


def decoded(found):
    return [np.asarray(Image.open(io.BytesIO(one))) for one in found]


def test_pictures_labels_and_captions(source, pictures):
    _, _, found, labels, captions = source
    read = [one.read() for one in pictures]
    assert [one if isinstance(one, bytes) else Path(one).read_bytes() for one in read] == found
    assert [one.label for one in pictures] == labels and len(set(pictures.keys)) == len(found)
    assert [one.captions for one in pictures] == [(text,) for text in captions]
    assert pictures.stats()[0].tolist() == list(map(len, found)) and pictures.left_out.count == 0
    part = pictures.select([7, 2])
    assert [one.label for one in part] == [labels[7], labels[2]] and part[1] == pictures[2]


def test_features_and_zero_shot(source, pictures, clip):
    _, _, found, labels, _ = source
    features, numbers, failures = evaluate.features(clip, pictures)
    pixels = clip.image_processor(decoded(found))
    expected = feature_model(clip).predict(pixels, verbose=0)
    np.testing.assert_allclose(features, expected, atol=1e-5)
    assert [pictures.class_names[k] for k in numbers] == labels and not failures
    answers = clip.zero_shot_classifier(CLASSES).predict(pixels, verbose=0).argmax(axis=1)
    confusion = np.zeros((3, 3), "int64")
    np.add.at(confusion, ([CLASSES.index(label) for label in labels], answers), 1)
    scores = evaluate.zero_shot(clip, pictures, CLASSES)
    np.testing.assert_array_equal(scores.confusion, confusion)


def test_retrieval(source, pictures, clip):
    _, _, found, _, captions = source
    expected = retrieval(clip.embed_images(decoded(found)), clip.embed_texts(captions))
    assert caption_retrieval(clip, pictures) == (expected, [])


@pytest.mark.parametrize("shuffle", [True, False])
def test_pairs(source, clip, shuffle):
    place, columns, found, labels, captions = source
    pytest.importorskip("grain")
    pairs = Pairs(place, clip, 4, shuffle=shuffle, columns=columns, groups="pictures")
    seen = []
    for k in (1, 0, 3):
        x, rows = pairs[k]
        pixels = clip.image_processor(decoded([found[row] for row in rows]))
        np.testing.assert_array_equal(x["images"], pixels)
        texts = clip.tokenizer([captions[row] for row in rows])
        np.testing.assert_array_equal(x["token_ids"], texts)
        seen += rows.tolist()
    assert shuffle or seen == [4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7]
    assert pairs.num_broken == 0
    labelled = Pairs(place, clip, 11, shuffle=False, columns=columns, groups="labels")
    names = labelled.pictures.class_names
    assert [names[k] for k in labelled[0][1]] == labels


def test_examples_to_finetune_on(source, pictures, clip):
    _, _, found, labels, _ = source
    names = ["bee", "cat", "owl", "ant"]
    learnt = examples(pictures, clip.image_processor, names)
    assert [names[k] for k in learnt.labels] == labels
    pixels, rows = learnt.read(np.array([9, 0]), [0])
    assert rows.tolist() == [9, 0]
    np.testing.assert_array_equal(pixels, clip.image_processor(decoded([found[9], found[0]])))


def test_embedded_in_bulk(source, pictures, tmp_path):
    _, _, found, labels, captions = source
    embed(pictures, tmp_path / "out", format="npy", part_rows=100)
    keys, vectors = bulk.load(tmp_path / "out")
    assert keys == pictures.keys
    np.testing.assert_allclose(vectors[:], embed_pixels(SQUARE(decoded(found))), atol=1e-6)
    columns = json.loads((tmp_path / "out" / "part-00000.json").read_text("utf-8"))
    assert columns["label"] == labels and columns["captions"] == [[one] for one in captions]


def test_indexed(source, pictures, tmp_path):
    _, _, found, _, _ = source
    index = Index.create(tmp_path / "index", DESCRIPTION)
    assert len(index.update(pictures, SMALL, embed_small).added) == len(found)
    expected = embed_small(SMALL(decoded(found)))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    vectors = stored(index)
    np.testing.assert_allclose([vectors[key] for key in pictures.keys], expected, atol=1e-6)
    again = index.update(pictures, SMALL, embed_small)
    assert again.unchanged == len(found) and not again.added and not again.changed


def test_commands(source, run, clip_preset, tmp_path):
    place, columns, found, labels, _ = source
    named = [part for kind, name in (columns or {}).items() for part in (f"--{kind}-column", name)]
    given = ("--preset", clip_preset, "--json", *named)
    code, out, err = run("evaluate", place, *given, "--labels", ",".join(CLASSES))
    assert code == 0, err
    rows = [sum(row) for row in json.loads(out)["confusion"]]
    assert rows == [labels.count(name) for name in CLASSES]
    code, out, err = run("embed", place, "-o", tmp_path / "x.npy", *given)
    assert code == 0, err
    import keras_clip

    expected = keras_clip.from_preset(clip_preset).embed_images(decoded(found))
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), expected, atol=1e-6)
    code, out, err = run("index", place, "-o", tmp_path / "index", "--dry-run", *given)
    assert code == 0 and json.loads(out)["added"] == len(found), err
    code, out, err = run("finetune", "full", place, "--dry-run", *given)
    assert code == 0 and sorted(json.loads(out)["classes"]) == sorted(CLASSES), err
    if columns is None:  # the option is refused where it would do nothing, or the name is not there
        code, out, err = run("embed", place, "-o", tmp_path / "y.npy", *given,
                             "--caption-column", "nothing")  # fmt: skip
        assert code == 1 and ("nothing" in err or "leave them out" in err)
