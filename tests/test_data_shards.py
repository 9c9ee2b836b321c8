"""Tar shards as webdataset writes them: keys, labels, captions, and damage."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from keras_clip.data import open_pictures
from keras_clip.data.opening import _expanded
from keras_clip.preprocessing.image_files import ImageError


def png(value=0):
    file = io.BytesIO()
    Image.fromarray(np.full((4, 6, 3), value, "uint8")).save(file, "PNG")
    return file.getvalue()


def shard(path, members):
    """Write members (name, bytes) into a tar file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def shards(tmp_path):
    """Two shards of two samples each in a folder, with class names in the folder above."""
    for number in range(2):
        members = []
        for sample in range(2):
            k = 2 * number + sample
            text = b"first\nsecond\n" if k == 1 else b"one"
            members += [(f"s{k}.cls", b"%d" % (k % 2)), (f"s{k}.webp", png(k)), (f"s{k}.txt", text)]
        shard(tmp_path / "test" / f"{number}.tar", members)
    (tmp_path / "classnames.txt").write_text("cat\ndog\nfox\n")
    (tmp_path / "zeroshot_classification_templates.txt").write_text("a {c}.\nthe {c}\n")
    return tmp_path / "test"


def test_samples_in_shards(shards):
    pictures = open_pictures(shards)
    assert pictures.keys == ["0.tar/s0", "0.tar/s1", "1.tar/s2", "1.tar/s3"]
    assert pictures.class_names == ["cat", "dog", "fox"]
    assert pictures.labels.tolist() == [0, 1, 0, 1] and pictures[3].label == "dog"
    assert pictures.templates == ["a {}.", "the {}"]
    assert [one.captions for one in (pictures[0], pictures[1])] == [("one",), ("first", "second")]
    assert [pictures[k].read() for k in range(4)] == [png(k) for k in range(4)]
    assert pictures.select([3])[0] == pictures[3]
    with pytest.raises(ValueError, match="no paths"):
        pictures.paths  # noqa: B018


def test_webdataset_reads_the_same_samples(shards):
    tariterators = pytest.importorskip("webdataset.tariterators")
    pictures, theirs = open_pictures(shards), []
    for name in ("0.tar", "1.tar"):
        with open(shards / name, "rb") as file:
            members = tariterators.tar_file_iterator(file)
            samples = tariterators.group_by_keys({**one, "__url__": name} for one in members)
            theirs += list(samples)
    assert [f"{one['__url__']}/{one['__key__']}" for one in theirs] == pictures.keys
    assert [one["webp"] for one in theirs] == [pictures[k].read() for k in range(4)]
    assert [int(one["cls"]) for one in theirs] == pictures.labels.tolist()


def test_patterns_and_lists_of_shards(shards):
    keys = open_pictures(shards).keys
    assert open_pictures(shards / "*.tar").keys == keys
    assert open_pictures(f"{shards}/{{0..1}}.tar").keys == keys
    assert open_pictures(f"{shards}/{{0,1}}.tar").keys == keys
    assert open_pictures([shards / "0.tar", shards / "1.tar"]).keys == keys
    assert open_pictures(shards / "1.tar").keys == keys[2:]
    assert open_pictures(f"{shards}/{{1,0}}.tar").keys == keys[2:] + keys[:2]
    for pattern, told in (("{0..2}.tar", r"2\.tar: there is no such"), ("x*.tar", "no file match")):
        with pytest.raises(FileNotFoundError, match=told):
            open_pictures(shards / pattern)
    with pytest.raises(ValueError, match="one kind"):
        open_pictures([shards / "0.tar", "a.png"])


@pytest.mark.parametrize("pattern", ["a{8..11}.tar", "{00..11}/{b,c}.tar", "{1,0}{a,b}"])
def test_patterns_name_shards_in_the_order_of_webdataset(pattern):
    expand = pytest.importorskip("braceexpand").braceexpand
    assert _expanded(pattern) == list(expand(pattern))


def test_captions_in_json_and_labels_that_are_names(tmp_path):
    members = [("a/1.jpg", png()), ("a/1.json", b'{"caption": "hi"}'), ("a/1.cls", b"dog")]
    members += [("b/1.png", png()), ("b/1.json", b"{}"), ("b/1.cls", b"cat"), ("b/._1.png", b"")]
    pictures = open_pictures(shard(tmp_path / "x.tar", members))
    assert pictures.keys == ["x.tar/a/1", "x.tar/b/1"]
    assert [one.captions for one in (pictures[0], pictures[1])] == [("hi",), ()]
    assert pictures.class_names == ["cat", "dog"] and pictures.labels.tolist() == [1, 0]


def test_a_sample_without_a_picture_is_a_broken_picture(tmp_path):
    pictures = open_pictures(shard(tmp_path / "x.tar", [("1.txt", b"a"), ("2.png", png(2))]))
    assert pictures.keys == ["x.tar/1", "x.tar/2"] and pictures[1].read() == png(2)
    with pytest.raises(ImageError, match=r"x\.tar: the sample has no picture"):
        pictures[0].read()
    (tmp_path / "x.tar").unlink()
    with pytest.raises(ImageError, match=r"x\.tar: cannot read the shard: No such file"):
        pictures[1].read()


def test_a_shard_that_is_cut_short_anywhere_is_told(shards):
    file = shards / "0.tar"
    whole = file.read_bytes()
    with tarfile.open(file) as tar:
        end = max(member.offset_data + 512 for member in tar)
    for length in range(1, end + 1, 127):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"0\.tar: the tar file is cut short"):
            open_pictures(shards)
    file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"0\.tar: the tar file is cut short"):
        open_pictures(shards)


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([("1.png", b""), ("1.png", b"")], r"the key '1\.png' comes a second time"),
        ([("1.png", b""), ("1.jpg", b"")], r"key '1': 2 pictures in one sample"),
        (
            [("1.png", b""), ("1.cls", b"0"), ("2.png", b"")],
            r"key '2': it has no \.cls, and other",
        ),
        ([("1.png", b""), ("1.cls", b"3")], r"has class 3, but there are 2 lines of classn"),
        ([("1.png", b""), ("1.cls", b"x")], r"\['x'\] are not among the lines of classnames\.txt"),
        ([("1.png", b""), ("1.cls", b" \n")], r"key '1': its \.cls cannot be read: it is empty"),
        ([("1.png", b""), ("1.cls", b"\xff")], r"key '1': its \.cls cannot be read: 'utf-8' codec"),
        ([], "no sample"),
    ],
)
def test_what_is_wrong_with_a_shard_is_told(tmp_path, members, told):
    (tmp_path / "classnames.txt").write_text("cat\ndog\n")
    with pytest.raises(ValueError, match=rf"x\.tar.*{told}"):
        open_pictures(shard(tmp_path / "x.tar", members))
