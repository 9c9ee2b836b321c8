"""Watches what reading a hostile file does to the machine."""

import sys
import time
import tracemalloc

import pytest

from keras_clip.convert import CheckpointError, open_checkpoint

SECONDS = 10
BYTES = 2**30


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """Runs in an empty folder; afterwards nothing was written, and it took neither time nor RAM."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    # Processor time, because other work on the machine is no fault of the reader.
    start, resident = time.process_time(), peak_resident_bytes()
    yield
    assert time.process_time() - start < SECONDS
    assert peak_resident_bytes() - resident < BYTES
    assert not list(folder.iterdir())


@pytest.fixture
def guarded(watched):
    """Also counts memory that was asked for and never used; slow where there are many objects."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < BYTES


def peak_resident_bytes():
    """The most memory this process ever had."""
    resource = pytest.importorskip("resource")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def read_all(path):
    """Opens a checkpoint and reads every tensor."""
    with open_checkpoint(path) as checkpoint:
        return {name: lazy.read() for name, lazy in checkpoint.items()}


def error_of(path):
    """The message with which a checkpoint is refused; it names the path."""
    with pytest.raises(CheckpointError) as caught:
        read_all(path)
    assert str(path) in str(caught.value)
    return str(caught.value)
