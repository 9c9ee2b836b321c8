"""Damaged checkpoints and files that are none: one clear error that names the file."""

import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
from guards import error_of, guarded, read_all, watched  # noqa: F401
from test_readers import CHECKPOINTS

# These are sound files whose content does not fit a model: the mapping finds that, not a reader.
NOT_FOR_READERS = {"missing_key", "extra_key", "wrong_shape", "nan_weights", "bad_config"}


@pytest.mark.usefixtures("guarded")
def test_broken_reference(reference):
    items = json.loads((reference / "broken" / "manifest.json").read_text())["items"]
    checked = 0
    for item in items:
        path = reference / "broken" / item["file"]
        if item["file"] in NOT_FOR_READERS:
            assert read_all(path)
        elif item["must"].startswith("raise"):
            message = error_of(path)
            assert any(word in message for word in item["error_should_mention"]), message
            checked += 1
        else:
            assert read_all(path)["weight"].shape == (2, 2)
    assert checked == 28


@pytest.mark.usefixtures("guarded")
def test_archive_that_grows(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        header = io.BytesIO()
        shape = (2**29 + 100,)
        np.lib.format.write_array_header_1_0(
            header, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        with archive.open("weight.npy", "w") as stream:
            stream.write(header.getvalue())
            for _ in range(2**9):
                stream.write(bytes(2**20))
            stream.write(bytes(100))
    assert path.stat().st_size < 2**20
    assert "would grow" in error_of(path)


@pytest.mark.usefixtures("guarded")
def test_archive_with_a_directory_without_end(tmp_path):
    end = b"PK\x05\x06" + bytes(4) + b"\xff" * 4 + (2**30).to_bytes(4, "little") + bytes(6)
    path = tmp_path / "many.pt"
    path.write_bytes(b"PK\x03\x04" + end)
    assert "list of the archive's members" in error_of(path)


@pytest.mark.parametrize(
    ("content", "mention"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "LFS"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x93NUMPY\x01\x00", "numpy.savez"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"just some text, of no format", "no known format"),
        (b"PK\x03\x04 and then nothing", "zip"),
        (pickle.dumps({"a": 1}, protocol=2), "plain Python pickle"),
        (b'{"weights": []}', "index"),
        (b'{"weight_map": {"a": "../../etc/passwd"}}', "etc/passwd"),
        (b'{"weight_map": {"a": "/etc/passwd"}}', "etc/passwd"),
        (b'{"weight_map": {"a": ".."}}', ".."),
        (b'{"weight_map": {"a": 5}}', "5"),
        (b'{"weight_map": {"a": "absent.safetensors"}}', "absent.safetensors"),
    ],
)
@pytest.mark.usefixtures("guarded")
def test_files_that_are_no_checkpoints(tmp_path, content, mention):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    assert mention in error_of(path)


def test_missing_paths_and_empty_directories(tmp_path):
    assert "no such file" in error_of(tmp_path / "absent.pt")
    (tmp_path / "notes.txt").write_text("x")
    message = error_of(tmp_path)
    assert "model.safetensors" in message
    assert "notes.txt" in message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "not a file" in error_of(tmp_path / "pipe")


def safetensors(header, data=b"\0" * 8):
    """Bytes of a safetensors file with this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(2,), span=(0, 8)):
    """One tensor of a safetensors header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": span}


@pytest.mark.parametrize(
    ("content", "mention"),
    [
        (safetensors({"a": entry()})[:30], "header"),
        ((2**40).to_bytes(8, "little") + b"{}", "header"),
        (safetensors(b"{" + b" " * 20), "JSON"),
        (safetensors(b'{"a":' + b"[" * 100_000), "damaged"),
        (safetensors(b'{"a": 1, "a": 2}'), "duplicate"),
        (safetensors({"a": entry(), "b": entry(span=(4, 12))}, bytes(12)), "overlap"),
        (safetensors({"a": entry(span=(8, 16))}, bytes(16)), "gap"),
        (safetensors({"a": entry()}, bytes(16)), "belong to no tensor"),
        (safetensors({"a": entry()}, bytes(4)), "'a'"),
        (safetensors({"a": entry("F13")}), "F13"),
        (safetensors({"a": entry(shape=(3, 5))}), "'a'"),
        (safetensors({"a": entry(shape=(-2,))}), "'a'"),
        (safetensors({"a": entry(shape=(2.0,))}), "'a'"),
        (safetensors({"a": entry(span=(8, 0))}), "backwards"),
        (safetensors({"a": 5}), "'a'"),
        (safetensors({"__metadata__": 5, "a": entry()}), "__metadata__"),
    ],
)
@pytest.mark.usefixtures("guarded")
def test_broken_safetensors(tmp_path, content, mention):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert mention in error_of(path)


@pytest.mark.parametrize(
    ("arrays", "mention"),
    [
        ({"cls": np.array([{}], dtype=object)}, "cls"),
        ({"fields": np.zeros(2, [("a", "f4")])}, "fields"),
        ({"nested": np.zeros(2, [("a", "O")])}, "object array"),
        ({"time": np.zeros(2, "M8[s]")}, "M8"),
        ({"long": np.array(["x" * 70_000])}, "text"),
    ],
)
@pytest.mark.usefixtures("guarded")
def test_npz_that_is_not_numbers(tmp_path, arrays, mention):
    np.savez(tmp_path / "w.npz", **arrays)
    assert mention in error_of(tmp_path / "w.npz")


def test_shards_that_do_not_fit_their_index(tmp_path):
    for source in (CHECKPOINTS / "sharded").iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    index = tmp_path / "model.safetensors.index.json"
    first, second = (f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
    for weight_map in ({"a": first, "b": first}, {"a": first, "b": second, "c": first}):
        index.write_text(json.dumps({"weight_map": weight_map}))
        assert "index places tensor" in error_of(tmp_path)
    (tmp_path / first).write_bytes(safetensors({"a": entry(), "z": entry(span=(8, 16))}, bytes(16)))
    index.write_text(json.dumps({"weight_map": {"a": first}}))
    assert "index leaves out" in error_of(tmp_path)
