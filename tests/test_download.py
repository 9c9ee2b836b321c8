"""Fetching: whole and checked, or a clear error and nothing broken in the cache."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

from keras_clip import download, hub_files, url_files
from keras_clip.download import DownloadError

CONTENT = bytes(range(256)) * 4000  # about a megabyte
SHA256 = hashlib.sha256(CONTENT).hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = {
    "config.json": b'{"model_type": "clip"}',
    "model.safetensors": CONTENT,
    "tokenizer.json": b"{}",
    "pytorch_model.bin": b"the same weights again",
    "flax_model.msgpack": b"not needed",
    "README.md": b"not needed",
}


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT and a Hub repository on 127.0.0.1, as badly as a test asks for."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests = []  # (method, path, Range)
        self.cuts = 0  # so many replies break off in the middle
        self.tag = '"one"'
        self.ranges = True
        self.busy = 0  # so many replies are 503

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is part of the tests


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.server.requests.append((self.command, self.path, self.headers.get("Range")))
        if self.server.busy:
            self.server.busy -= 1
            return self.reply(503, b"later")
        if self.path.startswith("/weights"):
            return self.send_ranged(CONTENT, {"ETag": self.server.tag})
        if "/api/models/org/repo" in self.path:
            return self.describe()
        if "/org/repo/resolve/" in self.path:
            name = self.path.rpartition("/")[2]
            if name in REPOSITORY:
                data = REPOSITORY[name]
                tag = f'"{hashlib.sha256(data).hexdigest()}"'
                return self.send_ranged(data, {"ETag": tag, "X-Repo-Commit": COMMIT})
            return self.reply(404, b"", {"X-Error-Code": "EntryNotFound"})
        code = "RepoNotFound" if "org/" in self.path else ""
        return self.reply(404, b"", {"X-Error-Code": code})

    def describe(self):
        """What the Hub says of the repository."""
        if "/revision/nowhere" in self.path:
            return self.reply(404, b"", {"X-Error-Code": "RevisionNotFound"})
        if "/tree/" in self.path:
            files = [
                {"type": "file", "path": name, "size": len(data), "oid": "0" * 40}
                for name, data in REPOSITORY.items()
            ]
            return self.reply(200, json.dumps(files).encode())
        files = [{"rfilename": name, "size": len(data)} for name, data in REPOSITORY.items()]
        return self.reply(
            200, json.dumps({"id": "org/repo", "sha": COMMIT, "siblings": files}).encode()
        )

    def send_ranged(self, data, headers):
        start, asked = 0, self.headers.get("Range")
        current = self.headers.get("If-Range", headers["ETag"]) == headers["ETag"]
        if asked and self.server.ranges and current:
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            if start >= len(data):
                return self.reply(416, b"")
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.reply(206 if start else 200, data[start:], headers)

    def reply(self, status, body, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        cut = self.server.cuts > 0 and self.command == "GET" and status in {200, 206}
        if cut:
            self.server.cuts -= 1
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


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


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("hf://org/repo", ("org/repo", None, None)),
        ("hf://org/repo@v1.0", ("org/repo", "v1.0", None)),
        ("hf://org/repo/a/b.npz", ("org/repo", None, "a/b.npz")),
        ("hf://org/repo@main/a.npz", ("org/repo", "main", "a.npz")),
        ("hf://org/repo/a.npz@main", ("org/repo", "main", "a.npz")),
        ("hf://org/repo@refs/pr/1", ("org/repo", "refs/pr/1", None)),
        ("hf://org/repo@refs%2Fpr%2F1/a", ("org/repo", "refs/pr/1", "a")),
    ],
)
def test_hub_sources_are_understood(source, parts):
    assert hub_files._parse(source) == parts


@pytest.mark.parametrize("source", ["hf://repo", "hf://", "hf://a/b@c/d@e", "hf://a b/c"])
def test_other_hub_sources_are_refused(source):
    with pytest.raises(DownloadError, match="write hf://org/repo"):
        download.fetch(source)


def test_the_best_weights_are_picked_and_only_once():
    names = ["pytorch_model.bin", "open_clip_pytorch_model.bin", "model.safetensors", "README.md"]
    assert hub_files.needed_files(names) == ["model.safetensors"]
    assert hub_files.needed_files(names, "open_clip") == ["open_clip_pytorch_model.bin"]
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    names = [*shards, "model.safetensors.index.json", "pytorch_model.bin", "config.json"]
    assert hub_files.needed_files(names) == ["config.json", *shards, names[2]]


HUB_STEPS = """
import json, os, sys, warnings
from keras_clip import download
from keras_clip.download import DownloadError

def attempt(source, sha256=None):
    try:
        path = download.fetch(source, sha256)
    except DownloadError as error:
        return str(error)
    if path.is_file():
        return path.read_bytes().decode("latin1")[:20]
    return sorted(p.name for p in path.iterdir())

print(json.dumps([attempt(*step) for step in json.loads(sys.argv[1])]))
"""


@pytest.fixture
def hub(server, tmp_path):
    """Runs steps against the local stand-in: the Hub's library reads its settings on import."""

    def run(*steps, **environment):
        settings = {
            "HF_ENDPOINT": server.url,
            "HF_HOME": str(tmp_path / "hub"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **environment,
        }
        done = subprocess.run(
            [sys.executable, "-c", HUB_STEPS, json.dumps(steps)],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_the_hub(server, hub, tmp_path):
    needed = ["config.json", "model.safetensors", "tokenizer.json"]
    got = hub(
        ["hf://org/repo"],
        ["hf://org/repo@" + COMMIT],
        ["hf://org/repo/config.json"],
        ["hf://org/repo/absent.npz"],
        ["hf://org/repo@nowhere"],
        ["hf://org/other"],
        ["hf://org/repo/README.md", "0" * 64],
    )
    assert got[:3] == [needed, needed, '{"model_type": "clip"}'[:20]]
    assert "has no such file" in got[3]
    assert "has no such revision" in got[4]
    assert "no such repository" in got[5]
    assert "expected was" in got[6]
    fetched = {path.rpartition("/")[2] for method, path, _ in server.requests if method == "GET"}
    assert not fetched & {"pytorch_model.bin", "flax_model.msgpack"}

    assert hub(["hf://org/repo"], HF_HUB_OFFLINE="1") == [needed]
    assert hub(["hf://org/repo"], HF_ENDPOINT="http://127.0.0.1:9") == [needed]
    (answer,) = hub(["hf://org/repo"], HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "empty"))
    assert "HF_HUB_OFFLINE" in answer
    assert "\n" not in answer


def test_a_cut_on_the_hub_leaves_nothing_broken(server, hub, tmp_path):
    server.cuts = 100
    (answer,) = hub(["hf://org/repo/model.safetensors"])
    assert "cannot be fetched" in answer
    assert not list((tmp_path / "hub").rglob("model.safetensors"))
    server.cuts = 0
    (answer,) = hub(["hf://org/repo"])
    assert "model.safetensors" in answer
