"""evaluate.zero_shot: the numbers of a classifier, over every kind of data set."""

import keras
import numpy as np
import pytest
from PIL import Image
from tiny_models import tiny_clip, tiny_tokenizer

from keras_clip import data, evaluate

LABELS = ["cat", "dog", "bird"]
COUNT = 23


@pytest.fixture(scope="module")
def clip():
    return tiny_clip(tokenizer=tiny_tokenizer())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder a class, one picture broken."""
    root = tmp_path_factory.mktemp("classes")
    random = np.random.default_rng(0)
    for number in range(COUNT):
        place = root / LABELS[number % 3]
        place.mkdir(exist_ok=True)
        pixels = random.integers(0, 256, (8, 12, 3), "uint8")
        Image.fromarray(pixels).save(place / f"{number:02}.png")
    (root / "dog" / "broken.png").write_bytes(b"no picture")
    return root


@pytest.fixture(scope="module")
def rows(folder, clip):
    """Pixels (uint8), labels as numbers in LABELS, and probabilities, all by hand."""
    paths = [path for path in sorted(folder.rglob("*.png")) if path.name != "broken.png"]
    labels = np.array([LABELS.index(path.parent.name) for path in paths])
    pixels = np.stack([np.asarray(Image.open(path)) for path in paths])
    classifier = clip.zero_shot_classifier(LABELS)
    shares = classifier.predict(clip.image_processor(pixels), verbose=0)
    return pixels, labels, shares


def check(found, rows):
    pixels, labels, shares = rows
    first = shares.argmax(axis=1)
    assert found.images == len(pixels) == COUNT
    assert found.top1 == pytest.approx(np.mean(first == labels))
    assert found.top5 == 1.0
    for a in range(3):
        for b in range(3):
            assert found.confusion[a, b] == np.sum((labels == a) & (first == b))
    recalls = [np.mean(first[labels == k] == k) for k in range(3)]
    assert found.mean_per_class == pytest.approx(np.mean(recalls))
    error = evaluate.expected_calibration_error(shares.max(axis=1), first == labels)
    assert found.calibration_error == pytest.approx(error, abs=1e-5)
    assert found.interval[0] < found.top1 < found.interval[1]


def test_a_folder(clip, folder, rows):
    found = evaluate.zero_shot(clip, folder, LABELS, batch_size=8)
    check(found, rows)
    assert found.class_names == tuple(LABELS)
    ((key, reason),) = found.failures
    assert key == "dog/broken.png" and "not a readable image" in reason
    assert 0 < found.seconds_per_image < 60


def test_labels_meet_the_folders_by_name_and_default_to_them(clip, folder, rows):
    by_name = evaluate.zero_shot(clip, str(folder), batch_size=8)
    assert by_name.class_names == ("bird", "cat", "dog")
    check(evaluate.zero_shot(clip, folder, LABELS), rows)
    order = [2, 0, 1]
    expected = evaluate.zero_shot(clip, folder, LABELS).confusion[np.ix_(order, order)]
    np.testing.assert_array_equal(by_name.confusion, expected)


def test_other_names_go_by_order(clip, folder):
    found = evaluate.zero_shot(clip, folder, ["a bird", "a cat", "a dog"], "{}")
    expected = evaluate.zero_shot(clip, folder, templates="a {}")
    np.testing.assert_array_equal(found.confusion, expected.confusion)


def test_a_table_with_labels(clip, folder, rows, tmp_path):
    lines = ["path,label"]
    lines += [f"{path},{path.parent.name}" for path in sorted(folder.rglob("[0-9]*.png"))]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    check(evaluate.zero_shot(clip, data.open_pictures(tmp_path / "table.csv"), LABELS), rows)


class Batches(keras.utils.PyDataset):
    def __init__(self, pixels, labels):
        super().__init__()
        self.pixels, self.labels = pixels, labels

    def __len__(self):
        return 3

    def __getitem__(self, number):
        return self.pixels[number::3], self.labels[number::3]


@pytest.mark.parametrize("raw", [True, False])
def test_a_keras_data_set(clip, rows, raw):
    pixels = rows[0] if raw else clip.image_processor(rows[0])
    check(evaluate.zero_shot(clip, Batches(pixels, rows[1]), LABELS), rows)


def test_a_torch_loader(clip, rows):
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    pairs = TensorDataset(*(torch.tensor(part) for part in rows[:2]))
    check(evaluate.zero_shot(clip, DataLoader(pairs, batch_size=5), LABELS), rows)


def test_a_tf_data_set(clip, rows, backend):
    if backend != "tensorflow":
        pytest.skip("would import TensorFlow on another backend")
    import tensorflow as tf

    parts = {"image": rows[0], "label": rows[1]}
    check(
        evaluate.zero_shot(clip, tf.data.Dataset.from_tensor_slices(parts).batch(6), LABELS), rows
    )


def test_a_grain_data_set(clip, rows):
    grain = pytest.importorskip("grain.python")
    pairs = grain.MapDataset.range(COUNT).map(lambda k: (rows[0][k], rows[1][k])).batch(4)
    check(evaluate.zero_shot(clip, pairs, LABELS), rows)


def test_elements_that_are_no_batches(clip, rows):
    with pytest.raises(ValueError, match=r"batches of images \(B, H, W, 3\)"):
        evaluate.zero_shot(clip, [(rows[0][0], rows[1][0])].__iter__(), LABELS)
    with pytest.raises(ValueError, match=r"\['picture'\]: it needs images and labels"):
        evaluate.zero_shot(clip, iter([{"picture": rows[0]}]), LABELS)
    with pytest.raises(ValueError, match=r"not \(images, labels\)"):
        evaluate.zero_shot(clip, iter([rows[0]]), LABELS)


def test_labels_that_do_not_fit(clip, folder, rows):
    with pytest.raises(ValueError, match=r"'bird'.* are not among the labels"):
        evaluate.zero_shot(clip, folder, ["cat", "dog"])
    with pytest.raises(ValueError, match="class 2, but there are 2 labels"):
        evaluate.zero_shot(clip, Batches(*rows[:2]), ["cat", "dog"])
    with pytest.raises(ValueError, match="no class names"):
        evaluate.zero_shot(clip, Batches(*rows[:2]))


def test_pictures_without_labels_or_none_that_can_be_read(clip, folder, tmp_path):
    with pytest.raises(ValueError, match="have no labels"):
        evaluate.zero_shot(clip, folder / "cat", LABELS)
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"No picture .* can be read.*cat/a\.png: not a readable"):
        evaluate.zero_shot(clip, tmp_path)
