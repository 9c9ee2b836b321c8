"""A call planted at any place of a sound pickle, or in place of any global, is never made."""

import io
import os
import pickle
import pickletools
import zipfile

import pytest
from guards import read_all, watched  # noqa: F401
from test_readers import CHECKPOINTS

from keras_clip.convert import CheckpointError

COMMAND = b"touch PWNED"
# os.system(COMMAND), whose answer is dropped again: what stands around it stays sound.
CALL = b"cos\nsystem\n(X" + len(COMMAND).to_bytes(4, "little") + COMMAND + b"tR0"
ZIPPED = ("every_dtype.pt", "views.pt", "training.pt", "torchscript.pt")
LEGACY = ("every_dtype_legacy.pt", "views_legacy.pt")


def operations(data):
    """(name, argument, first byte, byte behind it) of each operation of the pickles in a row."""
    stream, found = io.BytesIO(data), []
    while stream.tell() < len(data):
        start = stream.tell()
        try:
            listed = list(pickletools.genops(stream))
        except ValueError:  # behind the pickles of a legacy file lie its values
            break
        ends = [op[2] for op in listed[1:]] + [stream.tell()]
        for (op, argument, position), end in zip(listed, ends, strict=True):
            found.append((op.name, argument, position, end))
        assert listed[0][2] == start
    return found


def planted(data):
    """Every pickle with the call in it: before each operation, and for each global."""
    for name, _, start, end in operations(data):
        if name != "PROTO":
            yield data[:start] + CALL + data[start:]
        if name == "GLOBAL":
            yield data[:start] + b"cos\nsystem\n" + data[end:]


def archive_with(source, pickled):
    """The archive with another data.pkl."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, pickled if name.endswith("data.pkl") else old.read(name))
    return buffer.getvalue()


def data_of(source):
    with zipfile.ZipFile(source) as archive:
        return archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl")))


def test_the_call_is_one_that_pickle_makes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(b"\x80\x02" + CALL + b"N.")
    assert (tmp_path / "PWNED").exists()


@pytest.mark.parametrize("file", ZIPPED)
@pytest.mark.usefixtures("watched")
def test_zipped(file, tmp_path):
    source, count = CHECKPOINTS / file, 0
    for pickled in planted(data_of(source)):
        (tmp_path / "planted.pt").write_bytes(archive_with(source, pickled))
        with pytest.raises(CheckpointError):
            read_all(tmp_path / "planted.pt")
        count += 1
    assert count > 50 and not os.path.exists("PWNED")


@pytest.mark.parametrize("file", LEGACY)
@pytest.mark.usefixtures("watched")
def test_legacy(file, tmp_path):
    count = 0
    for data in planted((CHECKPOINTS / file).read_bytes()):
        (tmp_path / "planted.pt").write_bytes(data)
        with pytest.raises(CheckpointError):
            read_all(tmp_path / "planted.pt")
        count += 1
    assert count > 50 and not os.path.exists("PWNED")
