"""SIGKILL at random moments, on the bundled model: the directory ends byte for byte the same."""

import pathlib
import random
import subprocess
import sys
import time

import pytest
from bulk_jobs import contents, make_photos

pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
pytestmark = pytest.mark.slow  # some twenty processes, each of which imports a backend
KILLS, COUNT = 12, 60
JOB = """
import sys
from keras_clip import bulk
from keras_clip.command import embed
from keras_clip.data import open_pictures

embed_pixels, processor = embed.load("clip_resnet_tiny_shapes", 4)
pictures = open_pictures(sys.argv[1])
embed_pixels(processor(pictures.paths[:4]))
print("loaded and compiled", flush=True)
settings = bulk.Settings("tiny", "0" * 16, 128, "any", "photos", batch_size=4, part_rows=6)
bulk.embed(embed_pixels, processor, pictures, sys.argv[2], settings)
print("done", flush=True)
"""


def start(folder, directory):
    """A process whose job begins now."""
    process = subprocess.Popen(
        [sys.executable, "-c", JOB, str(folder), str(directory)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "loaded and compiled\n"
    return process


def end(process):
    """Wait for a process; its exit code."""
    process.stdout.close()
    return process.wait()


def test_killed_again_and_again(tmp_path):
    photos = pathlib.Path(make_photos(tmp_path / "photos", COUNT).places.root)
    process, begun = start(photos, tmp_path / "whole"), time.perf_counter()
    assert process.stdout.readline() == "done\n"
    seconds = time.perf_counter() - begun
    assert end(process) == 0
    whole = contents(tmp_path / "whole")
    assert len(whole) == 1 + COUNT // 6
    moments, directories, left = random.Random(0), 0, []
    while len(left) < KILLS:
        directories, finished = directories + 1, False
        directory = tmp_path / f"killed_{directories}"
        while not finished:
            process = start(photos, directory)
            time.sleep(moments.uniform(0, seconds / 3))
            process.kill()
            finished = process.stdout.readline() == "done\n"
            end(process)
            if not finished:
                left.append(len(list(directory.glob("part-*.done.json"))))
        assert contents(directory) == whole
    print(f"{len(left)} kills in {directories} directories, with these parts done: {left}")
    assert len(set(left)) > 3  # they struck at different stages
