"""Fetching from URLs: whole and checked, or a clear error and nothing broken in the cache."""

import threading

import local_server
import pytest
from local_server import CONTENT, SHA256

from keras_clip import download, url_files
from keras_clip.download import DownloadError


@pytest.fixture
def server():
    with local_server.running() as server:
        yield server


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_CLIP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(url_files, "WAIT_SECONDS", 0.0)
    return tmp_path / "cache"


def finished(cache):
    """The files in the cache that a later call would take for whole."""
    return [path for path in cache.rglob("*") if path.is_file() and not path.name.startswith(".")]


def test_a_file_arrives_whole_and_is_fetched_once(server, cache):
    path = download.fetch(f"{server.url}/weights/a.npz?x=1", SHA256)
    assert path.name == "a.npz"
    assert path.read_bytes() == CONTENT
    assert finished(cache) == [path]
    assert download.fetch(f"{server.url}/weights/a.npz?x=1", SHA256) == path
    assert len(server.requests) == 1


def test_a_broken_connection_is_continued(server, cache):
    server.cuts = 3
    assert download.fetch(f"{server.url}/weights/a.npz", SHA256).read_bytes() == CONTENT
    starts = [int(asked[6:-1]) for _, _, asked in server.requests[1:]]
    assert len(starts) == 3
    assert starts == sorted(set(starts))
    assert starts[0] > 0


def test_a_download_that_keeps_breaking_is_an_error_and_goes_on_next_time(server, cache):
    server.cuts = url_files.ATTEMPTS
    with pytest.raises(DownloadError, match=r"a\.npz broke off 5 times .*call again"):
        download.fetch(f"{server.url}/weights/a.npz", SHA256)
    assert not finished(cache)
    assert download.fetch(f"{server.url}/weights/a.npz", SHA256).read_bytes() == CONTENT
    assert server.requests[-1][2] is not None


def test_a_busy_server_is_asked_again(server, cache):
    server.busy = 2
    assert download.fetch(f"{server.url}/weights/a.npz").read_bytes() == CONTENT


@pytest.mark.parametrize("change", ["another version", "no ranges", "no version"])
def test_what_cannot_be_continued_starts_again(server, cache, change):
    server.cuts = url_files.ATTEMPTS
    if change == "no version":
        server.tag = 'W/"weak"'
    with pytest.raises(DownloadError):
        download.fetch(f"{server.url}/weights/a.npz")
    if change == "another version":
        server.tag = '"two"'
    server.ranges = change != "no ranges"
    path = download.fetch(f"{server.url}/weights/a.npz")
    assert path.read_bytes() == CONTENT


def test_too_long_a_part_is_thrown_away(server, cache):
    server.cuts = url_files.ATTEMPTS
    with pytest.raises(DownloadError):
        download.fetch(f"{server.url}/weights/a.npz")
    (part,) = cache.rglob("*.part")
    part.write_bytes(CONTENT + b"more")
    assert download.fetch(f"{server.url}/weights/a.npz").read_bytes() == CONTENT


def test_a_wrong_hash_is_an_error_and_the_file_is_gone(server, cache):
    with pytest.raises(DownloadError, match=f"SHA-256 {SHA256}, expected was {'0' * 64}"):
        download.fetch(f"{server.url}/weights/a.npz", "0" * 64)
    assert not finished(cache)
    assert not list(cache.rglob("*.part"))


def test_an_unchecked_file_does_not_pass_for_a_checked_one(server, cache):
    download.fetch(f"{server.url}/weights/a.npz")
    with pytest.raises(DownloadError, match="expected was"):
        download.fetch(f"{server.url}/weights/a.npz", "0" * 64)


def test_a_missing_file_is_an_error_at_once(server, cache):
    with pytest.raises(DownloadError, match=r"nowhere/b\.npz cannot be fetched: .* 404"):
        download.fetch(f"{server.url}/nowhere/b.npz")
    assert len(server.requests) == 1
    assert not finished(cache)


def test_no_network_is_an_error_at_once(cache):
    with pytest.raises(DownloadError, match=r"cannot be reached: .*Connect to a network"):
        download.fetch("http://127.0.0.1:9/weights/a.npz")
    assert not finished(cache)


def test_no_room_is_an_error_before_anything_is_written(server, cache, monkeypatch):
    monkeypatch.setattr(url_files.shutil, "disk_usage", lambda _: type("Disk", (), {"free": 10}))
    with pytest.raises(DownloadError, match="has room for 10: make room or set KERAS_CLIP_CACHE"):
        download.fetch(f"{server.url}/weights/a.npz")
    assert not finished(cache)


def test_a_cache_that_cannot_be_written_is_named(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERAS_CLIP_CACHE", str(tmp_path / "file"))
    with pytest.raises(DownloadError, match=r"cannot be written .* set KERAS_CLIP_CACHE"):
        download.fetch(f"{server.url}/weights/a.npz")


def test_two_at_once_fetch_once(server, cache):
    paths = []
    fetch = lambda: paths.append(download.fetch(f"{server.url}/weights/a.npz", SHA256))  # noqa: E731
    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 4
    assert len(set(paths)) == 1
    assert len(server.requests) == 1


def test_plan_tells_name_and_size(server, cache):
    assert download.plan(f"{server.url}/weights/a.npz") == [("a.npz", len(CONTENT))]
    assert not cache.exists()


@pytest.mark.parametrize("source", ["ftp://x/y", "a.npz", "file:///etc/passwd"])
def test_other_schemes_are_refused(source):
    with pytest.raises(DownloadError, match="no hf:// source and no http"):
        download.fetch(source)


@pytest.mark.parametrize(
    "url", ["http://h/..%2f..%2fetc", "http://h/a/..%5cb", "http://h/", "http://h/.hidden"]
)
def test_a_url_names_no_place_outside_the_cache(url):
    name = url_files.file_name(url)
    assert name
    assert not set(name) & set("/\\")
    assert not name.startswith(".")
