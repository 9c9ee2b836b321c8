"""What is in a folder or a shard is read, or it is counted and named; nothing odd is opened."""

import json
import logging
import os
import socket
import tarfile

import pytest
from bulk_jobs import embed
from picture_sources import png, tar
from tiny_models import tiny_clip, tiny_tokenizer

from keras_clip.data import open_pictures
from keras_clip.train import Pairs


@pytest.fixture
def odd(tmp_path):
    """A folder with everything that a folder can hold."""
    root = tmp_path / "photos"
    for name in ("cat/1.png", "dog/2.png", "dog/more/3.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(1))
    (root / "dog" / "2.txt").write_text("a dog")
    for name in ("cat/9.txt", "notes.md", "cat/raw.heic", "dog/rows.csv", "dog/0.tar", "none"):
        (root / name).write_text("x")
    for name in (".hidden", "cat/._1.png"):
        (root / name).write_bytes(png(1))
    (root / ".git").mkdir()
    os.mkfifo(root / "cat" / "pipe.png")
    os.mkfifo(root / "dog" / "2.jpg.txt")
    os.mkfifo(root / "dog" / "more" / "3.txt")  # which would be a caption
    (root / "dead.png").symlink_to(root / "nowhere.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    (root / "fox").symlink_to(root / "dog", target_is_directory=True)
    (root / "cat" / "device.png").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(root)  # names of sockets are short
        try:
            server.bind("socket.png")
        finally:
            os.chdir(here)
        yield root


def test_every_entry_of_a_folder_is_read_or_named(odd, caplog):
    pictures = open_pictures(odd)
    assert pictures.keys == ["cat/1.png", "dog/2.png", "dog/more/3.png"]
    assert pictures.class_names == ["cat", "dog"]
    assert [one.captions for one in pictures] == [(), ("a dog",), ()]
    found = []
    for folder, folders, files in os.walk(odd):
        folders[:] = [one for one in folders if one != ".git"]
        found += [os.path.relpath(os.path.join(folder, one), odd) for one in files]
    links = ["fox"]  # os.walk calls it a folder, and does not enter it
    read = [*pictures.keys, "dog/2.txt"]
    assert sorted([*read, *pictures.left_out.reasons]) == sorted([*found, *links, ".git"])
    assert pictures.left_out.count == len(pictures.left_out.reasons) == 17
    reasons = pictures.left_out.reasons
    for name in ("cat/pipe.png", "socket.png", "cat/device.png", "dog/more/3.txt"):
        assert reasons[name] == "no regular file"
    assert reasons["dead.png"] == reasons["loop.png"] == "a link that leads nowhere"
    assert reasons["fox"] == "a link to a folder that is read itself"
    assert reasons["cat/raw.heic"] == "no picture by its suffix"
    assert reasons["cat/9.txt"] == "a text of no picture"
    assert reasons["dog/0.tar"] == "shards are sources of their own"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"{odd}: 17 left out: ")
    listed = open_pictures([odd / "cat", odd / "dog"])
    assert listed.captions and [one.captions for one in listed] == [(), ("a dog",), ()]
    assert str(odd / "cat" / "pipe.png") in listed.left_out.reasons


def test_hidden_files_alone_are_no_warning(tmp_path, caplog):
    (tmp_path / "1.png").write_bytes(png(1))
    (tmp_path / ".DS_Store").write_text("x")
    caplog.set_level(logging.INFO, "keras_clip")
    assert open_pictures(tmp_path).left_out.reasons == {".DS_Store": "hidden"}
    assert [record.levelno for record in caplog.records] == [logging.INFO]


@pytest.mark.parametrize("as_list", [True, False])
def test_no_pipe_is_opened_whoever_names_it(tmp_path, as_list):
    os.mkfifo(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes(png(2))
    (tmp_path / "t.csv").write_text("path,caption\n1.png,one\n2.png,two\n")
    source = [tmp_path / "1.png", tmp_path / "2.png"] if as_list else tmp_path / "t.csv"
    pictures = open_pictures(source)
    embed(pictures, tmp_path / "out", format="npy", part_rows=100)
    (part,) = json.loads((tmp_path / "out" / "manifest.json").read_text())["parts"]
    assert part["failures"] == [{"key": pictures.keys[0], "reason": "no regular file."}]
    if not as_list:
        pytest.importorskip("grain")
        pairs = Pairs(pictures, tiny_clip(tokenizer=tiny_tokenizer()), 2, shuffle=False)
        assert len(pairs[0]["images"]) == 2 and pairs.broken == {"1.png": "no regular file."}


def test_every_member_of_a_shard_is_read_or_named(tmp_path):
    members = {"1.png": png(1), "1.txt": b"one", "README": b"x", "._1.png": b"x", "a/.b.png": b"x"}
    path = tar(tmp_path / "x.tar", members.items())
    links = {
        "link.png": tarfile.SYMTYPE, "hard.png": tarfile.LNKTYPE, "pipe.png": tarfile.FIFOTYPE,
        "folder": tarfile.DIRTYPE,
    }  # fmt: skip
    with tarfile.open(path, "a") as file:
        for name, kind in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "1.png"
            file.addfile(member)
    pictures = open_pictures(path)
    assert pictures.keys == ["x.tar/1"] and pictures.captions[0] == ("one",)
    expected = dict.fromkeys(["link.png", "hard.png", "pipe.png"], "no regular file")
    expected |= {"README": "no suffix", "._1.png": "hidden", "a/.b.png": "hidden"}
    assert pictures.left_out.reasons == {f"{path}/{name}": w for name, w in expected.items()}
