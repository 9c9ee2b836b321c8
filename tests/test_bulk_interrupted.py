"""A job that is stopped anywhere, and started again, ends as if it had never been."""

import os
import pathlib
import subprocess
import sys

import pytest
from bulk_jobs import contents, embed, make_photos

from keras_clip.bulk import files

pytest.importorskip("pyarrow", reason="the extra `data` is not installed")


class Killed(BaseException):
    """What nothing catches."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("photos"))


def killer(function, when, after):
    """The function, which the n-th call does not survive: before its work, or after."""
    calls = []

    def call(*arguments):
        calls.append(None)
        dies = len(calls) == when
        result = None if dies and not after else function(*arguments)
        if dies:
            raise Killed
        return result

    return call


@pytest.mark.parametrize("form", ["parquet", "npy"])
def test_stopped_at_every_step_of_writing(photos, tmp_path, form, monkeypatch):
    monkeypatch.setattr(files.os, "fsync", lambda descriptor: None)  # hundreds of them take long
    photos = photos[:10]
    embed(photos, tmp_path / "whole", format=form)
    whole, stops = contents(tmp_path / "whole"), 0
    for name in ("replace", "fsync"):
        when, reached = 1, True
        while reached:
            for after in (False, True):
                directory = tmp_path / f"{name}_{when}_{after}"
                with monkeypatch.context() as patch:
                    dying = killer(getattr(os, name), when, after)
                    patch.setattr(files.os, name, dying)
                    try:
                        embed(photos, directory, format=form)
                        reached = False
                    except Killed:
                        stops += 1
                embed(photos, directory, format=form)
                assert contents(directory) == whole
            when += 1
    # The manifest twice, and for each of two parts its files and its record.
    renames = 2 + 2 * (2 if form == "parquet" else 3)
    assert stops == 2 * (renames + 2 * renames)  # a file and its directory are each synchronised


JOB = """
import pathlib, resource, sys
sys.path.insert(0, sys.argv[1])
from bulk_jobs import embed
from keras_clip.data import open_pictures
if sys.argv[4] != "0":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
try:
    embed(open_pictures(sys.argv[2]), pathlib.Path(sys.argv[3]))
except OSError as error:
    sys.exit(str(error))
"""


def test_a_full_disk_is_told_and_the_job_goes_on_where_there_is_room(photos, tmp_path):
    whole, directory = tmp_path / "whole", tmp_path / "out"
    embed(photos, whole)
    limit = max(path.stat().st_size for path in whole.glob("part*")) - 1
    folder = pathlib.Path(photos.places.root)
    command = [sys.executable, "-c", JOB, str(pathlib.Path(__file__).parent), str(folder)]
    done = subprocess.run([*command, str(directory), str(limit)], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert "no room for part-0000" in last and "is kept: make room and run it again" in last
    assert not list(directory.glob(".*.tmp"))
    embed(photos, directory)
    assert contents(directory) == contents(whole)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_file_system_is_told_and_the_job_goes_on_once_there_is_room(
    photos, tmp_path, small_disk
):
    ballast = small_disk / ".ballast"
    ballast.write_bytes(bytes(4096))
    with pytest.raises(OSError, match=r"no room for .*No space left on device") as error:
        embed(photos, small_disk)
    assert str(small_disk) in str(error.value) and not list(small_disk.glob(".*.tmp"))
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
    assert embed(photos, small_disk)["done"] <= len(photos)
    embed(photos, tmp_path / "whole")
    assert contents(small_disk) == contents(tmp_path / "whole")
