"""An index survives kills, a full disk and damaged files, or says what is wrong."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import search_pictures as made
from search_pictures import assert_holds, stored, update

from keras_clip.search import Index, SearchError

pytest.importorskip("lancedb")


@pytest.fixture
def photos(tmp_path):
    return made.folder(tmp_path / "photos", 20)


@pytest.fixture
def index(tmp_path):
    return Index.create(tmp_path / "index", made.MODEL)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model": 1}', '{"surprise": 2}'])
def test_a_damaged_description_is_named(index, text):
    path = os.path.join(index.directory, "index.json")
    with open(path, "w") as file:
        file.write(text)
    with pytest.raises(SearchError, match=r"index\.json: damaged"):
        Index.open(index.directory)


def test_an_index_of_a_later_version_is_refused(index):
    path = os.path.join(index.directory, "index.json")
    with open(path) as file:
        values = json.load(file)
    with open(path, "w") as file:
        json.dump({**values, "format": 2}, file)
    with pytest.raises(SearchError, match="format 2"):
        Index.open(index.directory)


def test_damaged_files_are_an_error_or_do_no_harm(index, photos, tmp_path):
    update(index, photos)
    query = made.vectors_of([photos / "it's 001.png"])
    expected = index.search(query, 3)
    files = sorted(path for path in tmp_path.glob("index/pictures.lance/*/*") if path.is_file())
    assert len(files) >= 3
    refused = 0
    for file in files:
        whole = file.read_bytes()
        for damaged in (b"", whole[: len(whole) // 2], bytes(len(whole))):
            file.write_bytes(damaged)
            try:
                assert Index.open(index.directory).search(query, 3) == expected
            except SearchError as error:
                assert str(tmp_path / "index") in str(error)
                refused += 1
        file.write_bytes(whole)
    assert refused >= 3 and Index.open(index.directory).search(query, 3) == expected


SLOW_UPDATE = """
import sys, time
sys.path.insert(0, sys.argv[3])
import search_pictures as made
from keras_clip.data import open_pictures
from keras_clip.search import Index, embedding
embedding.COMMIT = 4

def slow(pixels):
    time.sleep(0.02)
    return made.embed(pixels)

place = sys.argv[2]
index = Index.open(place) if Index.exists(place) else Index.create(place, made.MODEL)
print("begun", flush=True)
index.update(open_pictures(sys.argv[1]), made.PROCESSOR, slow, 2)
print("done", flush=True)
"""


@pytest.fixture
def started(tmp_path, repository):
    """Starts an update of ./photos in another process."""

    def start(*before):
        command = [sys.executable, "-c", SLOW_UPDATE, tmp_path / "photos", tmp_path / "index"]
        command = [*before, *map(str, [*command, repository / "tests"])]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


def one_backend(backend):
    if backend != "jax":
        pytest.skip("nothing here depends on the backend, and it takes seconds")


@pytest.mark.slow  # each start imports Keras
def test_killed_at_random_moments_it_goes_on_and_holds_every_picture_once(tmp_path, started):
    photos = made.folder(tmp_path / "photos", 60)
    (photos / "it's 010.png").write_bytes(b"no picture")
    random, kills, lengths = np.random.default_rng(0), 0, [0]
    for _ in range(12):
        with started() as process:
            assert process.stdout.readline() == "begun\n", process.stderr.read()
            time.sleep(random.uniform(0.05, 0.5))
            process.send_signal(signal.SIGKILL)
            kills += "done" not in process.communicate()[0]
        index = Index.open(tmp_path / "index")
        lengths.append(len(index))
        paths = list(stored(index))
        assert len(paths) == len(set(paths)) == len(index)
        if kills >= 4 and lengths[-1] > 8:
            break
    assert kills >= 3 and lengths == sorted(lengths) and lengths[-1] > 0
    found = update(index, photos)
    assert found.total == 59 and len(found.broken) == 1
    (photos / "it's 010.png").unlink()
    update(index, photos)
    assert_holds(index, photos)


def test_a_full_disk_is_one_error_and_the_index_stays_sound(backend, tmp_path, started):
    one_backend(backend)
    photos = made.folder(tmp_path / "photos", 40)
    index = Index.create(tmp_path / "index", made.MODEL)
    update(index, photos)
    for number in range(200):
        made.write(photos / f"more {number}.png", number)
    with started("bash", "-c", 'ulimit -f 2; exec "$@"', "bash") as process:  # 2 KB a file
        assert "SearchError" in (error := process.communicate()[1]), error
    assert "index cannot be written" in error and "goes on from there" in error
    index = Index.open(tmp_path / "index")
    assert 40 <= len(index) < 240 and len(stored(index)) == len(index)
    assert update(index, photos).total == 240
    assert_holds(index, photos)
