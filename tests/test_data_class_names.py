"""Classes that have names meet other names: by name, or the message says which does not."""

import json
import tarfile

import numpy as np
import pytest
from picture_sources import png, tar
from tiny_models import tiny_clip, tiny_tokenizer, tiny_vit

from keras_clip import data, evaluate, finetune
from keras_clip.finetune.examples import examples

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
         "eleven"]  # fmt: skip
TRUTH = [11, 2, 10, 0, 7, 1, 9, 3, 8, 4, 6, 5, 10, 2, 2]


@pytest.fixture(scope="module")
def clip():
    return tiny_clip(tokenizer=tiny_tokenizer())


def folders_of_names(folder, truth):
    """A folder a class; pictures are named by their place in `truth`."""
    for k, label in enumerate(truth):
        (folder / NAMES[label]).mkdir(exist_ok=True)
        (folder / NAMES[label] / f"{k:02}.png").write_bytes(png(k))
    return folder


def test_names_meet_by_name_or_say_which_does_not(clip, tmp_path):
    folder = folders_of_names(tmp_path, TRUTH)
    pictures = data.open_pictures(folder)
    assert pictures.class_names == sorted(NAMES)
    shuffled = [*NAMES[::-1], "twelve"]
    found = pictures.with_classes(shuffled, by_order=True)
    assert [shuffled[k] for k in found.labels] == [key.partition("/")[0] for key in found.keys]
    others = [f"the {name}" for name in sorted(NAMES)]  # as many, in the order of the classes
    assert pictures.with_classes(others, by_order=True).labels.tolist() == pictures.labels.tolist()
    for names, told in (
        (NAMES[:-1], r"\['eleven'\] are not among the labels, of which there are 11"),
        ([*others, "more"], r"\['eight', 'eleven', 'five'\] are not among"),
        ([*others[:-1], "zero"], r"are not among the labels"),
    ):
        with pytest.raises(ValueError, match=told):
            evaluate.zero_shot(clip, pictures, names)
    with pytest.raises(ValueError, match="are not among the classes of the model"):
        examples(pictures, clip.image_processor, others)
    with pytest.raises(ValueError, match=r"are names, and the labels numbers"):
        pictures.with_classes(None)


def test_class_names_of_the_hub(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
    from pyarrow import parquet

    def write(labels, names):
        table = pyarrow.table({"path": [f"{k}.png" for k in range(len(labels))], "label": labels})
        features = {"label": {"names": names, "_type": "ClassLabel"}, "path": {"dtype": "string"}}
        about = {"huggingface": json.dumps({"info": {"features": features}})}
        parquet.write_table(table.replace_schema_metadata(about), tmp_path / "t.parquet")
        return data.open_pictures(tmp_path / "t.parquet")

    pictures = write([1, 0, 1], ["pear", "apple", "plum"])
    assert pictures.class_names == ["pear", "apple", "plum"] and pictures.labels.tolist() == [
        1,
        0,
        1,
    ]
    for label in (-1, 3):
        with pytest.raises(
            ValueError, match=rf"row 1: 'label' is {label}, and the table has names"
        ):
            write([0, label], ["pear", "apple", "plum"])


def test_classes_of_shards_meet_classnames(tmp_path):
    (tmp_path / "classnames.txt").write_text("pear\napple\nplum\n")
    members = [("0.png", png(0)), ("1.png", png(1))]
    for labels, expected in ((("plum", "pear"), [2, 0]), (("2", "1.0"), [2, 1])):
        texts = [(f"{k}.cls", label.encode()) for k, label in enumerate(labels)]
        tar(tmp_path / "x.tar", members + texts)
        pictures = data.open_pictures(tmp_path / "x.tar")
        assert pictures.labels.tolist() == expected and pictures[0].label == "plum"
    with tarfile.open(tmp_path / "x.tar") as file:
        assert file.extractfile("1.cls").read() == b"1.0"


def test_what_is_held_out_has_the_classes_of_the_training(clip, tmp_path):
    held, places = [1, 11, 5], []
    for name, truth in (("train", TRUTH), ("test", held)):
        (tmp_path / name).mkdir()
        places.append(folders_of_names(tmp_path / name, truth))
    vit = tiny_vit(num_classes=12)
    settings = {"processor": clip.image_processor, "epochs": 1, "verbose": 0}
    history = finetune.tune(vit, *places, **settings).history
    pictures = data.open_pictures(places[1])
    shares = vit.predict(clip.image_processor(pictures.paths), verbose=0)
    known = sorted(NAMES)  # the classes of the training, of which the test has three
    truth = [known.index(one.label) for one in pictures]
    assert np.allclose(shares.sum(axis=1), 1)
    losses = -np.log(shares[range(3), truth])
    assert history["val_loss"][0] == pytest.approx(losses.mean(), rel=1e-4)
