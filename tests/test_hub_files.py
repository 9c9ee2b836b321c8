"""Fetching from the Hub: only what is needed, also offline, and clear errors."""

import json
import os
import subprocess
import sys

import local_server
import pytest
from local_server import COMMIT

from keras_clip import download, hub_files
from keras_clip.download import DownloadError


@pytest.fixture
def server():
    with local_server.running() as server:
        yield server


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
