"""The same job on Ray, where a worker dies in the middle: byte for byte the same directory."""

import functools
import os
import pathlib
import signal
import sys

import pytest
from bulk_jobs import contents, make_photos

from keras_clip import bulk
from keras_clip.command import embed as command
from keras_clip.data import open_pictures

pytest.importorskip("ray", reason="the extra `scale` is not installed")
pytestmark = [
    pytest.mark.slow,  # a cluster, and three processes that import a backend
    # Ray's own code uses what Ray deprecates, and leaves a log's file to the collector.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
COUNT, PRESET, BATCH = 36, "clip_resnet_tiny_shapes", 4


def load(folder):
    """In a worker: the bundled model, which kills one worker in the middle of its second part."""
    embed_pixels, processor = command.load(PRESET, BATCH)
    calls = []

    def dying(pixels):
        calls.append(None)
        if len(calls) == 4:
            try:
                (folder / "killed").mkdir()
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        (folder / f"{os.getpid()}").touch()
        return embed_pixels(pixels)

    return dying, processor


def test_a_worker_that_is_killed_costs_nothing(tmp_path, backend, monkeypatch):
    here = str(pathlib.Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, *sys.path]))
    pictures = make_photos(tmp_path / "photos", COUNT)
    broken = pathlib.Path(pictures.paths[10])
    broken.write_bytes(b"no picture")
    pictures = open_pictures(tmp_path / "photos")
    settings = bulk.Settings(
        PRESET, "0" * 16, 128, backend, "photos", batch_size=BATCH, part_rows=6
    )
    embed_pixels, processor = command.load(PRESET, BATCH)
    job = (embed_pixels, processor, pictures)
    bulk.embed(*job, tmp_path / "local", settings)
    seen = tmp_path / "workers"
    seen.mkdir()
    engine = bulk.RayEngine(functools.partial(load, seen), workers=2)
    result = bulk.embed(*job, tmp_path / "ray", settings, engine=engine)
    assert (seen / "killed").is_dir()
    assert len([path for path in seen.iterdir() if path.name.isdecimal()]) == 3
    assert result["rows"] == COUNT - 1 and result["failures"] == {"not a readable image": 1}
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    assert bulk.embed(*job, tmp_path / "ray", settings, engine=engine)["finished_before"]
