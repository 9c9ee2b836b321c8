"""Classes that are numbers are ordered as numbers, whatever they are kept in."""

import json

import numpy as np
import pytest
from picture_sources import png, tar
from tiny_models import tiny_clip, tiny_tokenizer

from keras_clip import data, evaluate
from keras_clip.data.labels import class_numbers, in_order
from keras_clip.finetune.examples import examples

TRUTH = np.array([11, 2, 10, 0, 7, 1, 9, 3, 8, 4, 6, 5, 10, 2, 2])
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
         "eleven"]  # fmt: skip


def _pictures(folder):
    for k in range(len(TRUTH)):
        (folder / f"{k:02}.png").write_bytes(png(k))


def _csv(write):
    def make(folder, truth):
        _pictures(folder)
        rows = [f"{k:02}.png,{write(label)}\n" for k, label in enumerate(truth)]
        (folder / "t.csv").write_text("path,label\n" + "".join(rows))
        return folder / "t.csv"

    return make


def _json_lines(write):
    def make(folder, truth):
        _pictures(folder)
        rows = [json.dumps({"path": f"{k:02}.png", "label": write(y)}) for k, y in enumerate(truth)]
        (folder / "t.jsonl").write_text("\n".join(rows))
        return folder / "t.jsonl"

    return make


def _parquet(dtype):
    def make(folder, truth):
        pyarrow = pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
        from pyarrow import parquet

        columns = {"image": [png(k) for k in range(len(truth))], "label": truth.astype(dtype)}
        parquet.write_table(pyarrow.table(columns), folder / "t.parquet")
        return folder / "t.parquet"

    return make


def _folder(write):
    def make(folder, truth):
        for k, label in enumerate(truth):
            (folder / write(label)).mkdir(exist_ok=True)
            (folder / write(label) / f"{k:02}.png").write_bytes(png(k))
        return folder

    return make


def _shard(write, in_json=False):
    def make(folder, truth):
        suffix = "json" if in_json else "cls"
        members = [(f"{k:02}.png", png(k)) for k in range(len(truth))]
        for k, label in enumerate(truth):
            text = json.dumps({"cls": write(label)}) if in_json else write(label)
            members.append((f"{k:02}.{suffix}", text.encode()))
        return tar(folder / "t.tar", members)

    return make


NUMBERS = {
    "csv": _csv(str),
    "csv of floats": _csv(lambda y: f"{y}.0"),
    "jsonl": _json_lines(int),
    "jsonl of floats": _json_lines(float),
    "jsonl of texts": _json_lines(str),
    "parquet": _parquet("int64"),
    "parquet of floats": _parquet("float32"),
    "folders": _folder(str),
    "folders, padded": _folder(lambda y: f"{y:03}"),
    "shards": _shard(str),
    "shards of floats": _shard(lambda y: f"{y}.0\n"),
    "shards, json": _shard(float, in_json=True),
}


def opened(kind, folder, truth=TRUTH):
    columns = {"label": "cls"} if kind == "shards, json" else None
    return data.open_pictures(NUMBERS[kind](folder, truth), columns)


def seeds(pictures):
    """Which picture is where: its number in TRUTH."""
    return [int(key.removesuffix(".png").rpartition("/")[2]) for key in pictures.keys]


@pytest.fixture(scope="module")
def clip():
    return tiny_clip(tokenizer=tiny_tokenizer())


@pytest.mark.parametrize("kind", NUMBERS)
def test_names_in_the_order_of_numbers_meet_classes_that_are_numbers(kind, clip, tmp_path):
    pictures = opened(kind, tmp_path)
    truth = TRUTH[seeds(pictures)]
    assert pictures.labels.tolist() == truth.tolist()
    pixels = clip.image_processor([png(k) for k in seeds(pictures)])
    found = clip.zero_shot_classifier(NAMES).predict(pixels, verbose=0).argmax(axis=1)
    scores = evaluate.zero_shot(clip, pictures, NAMES)
    confusion = np.zeros((12, 12), "int64")
    np.add.at(confusion, (truth, found), 1)
    np.testing.assert_array_equal(scores.confusion, confusion)
    assert scores.top1 == np.mean(found == truth)
    learnt = examples(pictures, clip.image_processor, NAMES)
    assert learnt.labels.tolist() == truth.tolist()


@pytest.mark.parametrize("kind", NUMBERS)
def test_a_part_of_the_classes_keeps_its_numbers(kind, clip, tmp_path):
    part = np.where(TRUTH == 3, 6, TRUTH)  # no picture of class 3
    pictures = opened(kind, tmp_path, part)
    expected = part[seeds(pictures)].tolist()
    assert pictures.with_classes(NAMES, by_order=True).labels.tolist() == expected
    counts = evaluate.zero_shot(clip, pictures, NAMES).confusion.sum(axis=1)
    assert counts.tolist() == np.bincount(part, minlength=12).tolist()
    # Beside a training set of any other kind, by the numbers too.
    for known in (None, [str(k) for k in range(12)]):
        assert pictures.with_classes(known, by_value=True).labels.tolist() == expected


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_that_are_no_place_among_the_names_are_told(kind, clip, tmp_path):
    pictures = opened(kind, tmp_path, TRUTH + 1)
    with pytest.raises(ValueError, match=r"has class 12, but there are 12 labels, for classes 0"):
        evaluate.zero_shot(clip, pictures, NAMES)
    with pytest.raises(ValueError, match=r"class 12, but there are 12 classes of the model"):
        examples(pictures, clip.image_processor, NAMES)
    twelve = [str(k) for k in range(1, 13)]  # what a folder of them gave a classifier
    learnt = examples(pictures, clip.image_processor, twelve)
    assert learnt.labels.tolist() == TRUTH[seeds(pictures)].tolist()
    with pytest.raises(ValueError, match="has class"):
        evaluate.zero_shot(clip, pictures, NAMES[:3])


def test_the_order_of_classes():
    assert in_order(["10", "2", "b", "1.5", "-1", "a", "1e1"]) == [
        "-1", "1.5", "2", "10", "1e1", "a", "b"
    ]  # fmt: skip
    assert in_order(["cat10", "cat2"]) == ["cat10", "cat2"]  # text, as everywhere else


@pytest.mark.parametrize("kind", ["csv", "jsonl of texts", "shards"])
def test_numbers_that_are_no_places_are_names_in_order(kind, tmp_path):
    values = np.array([10, 2, -1] * 5)
    pictures = opened(kind, tmp_path, values)
    assert pictures.class_names == ["-1", "2", "10"]
    assert pictures.labels.tolist() == [2, 1, 0] * 5


def test_labels_in_arrays():
    for dtype in ("uint8", "int32", "int64", "float16", "float64"):
        assert class_numbers(np.array([0, 11, 2], dtype)).tolist() == [0, 11, 2]
    for labels in ([0.5, 1.0], [np.nan], [np.inf], ["cat"], [True]):
        with pytest.raises(ValueError, match="The labels are whole numbers, not"):
            class_numbers(np.array(labels))
    features = np.random.default_rng(0).normal(size=(24, 4))
    labels = np.arange(24) % 3
    whole = evaluate.knn(features, labels, features, labels, k=3)
    floats = evaluate.knn(features, labels.astype("float32"), features, labels.astype(float), k=3)
    assert floats.predictions.tolist() == whole.predictions.tolist()


def test_labels_of_data_sets_are_not_cut_to_whole_numbers(clip):
    pixels = np.zeros((2, 8, 12, 3), "float32")
    batches = iter([(pixels, np.array([0.0, 1.5]))])
    with pytest.raises(ValueError, match=r"labels are whole numbers, not 1\.5"):
        evaluate.zero_shot(clip, batches, NAMES)
    counted = evaluate.zero_shot(clip, iter([(pixels, np.array([10.0, 2.0]))]), NAMES)
    assert np.flatnonzero(counted.confusion.sum(axis=1)).tolist() == [2, 10]
    with pytest.raises(ValueError, match=r"has class -1"):
        evaluate.zero_shot(clip, iter([(pixels, np.array([0, -1]))]), NAMES)
