"""One tower comes from the Hub without the bytes of the other."""

import json
import os
import pathlib
import subprocess
import sys

import hub_stand_in
import numpy as np
import pytest

from keras_clip import from_preset
from keras_clip.convert import open_checkpoint, write_safetensors
from keras_clip.hub_partial import merged, without
from keras_clip.models.weights import named_weights

FOLDER = pathlib.Path(__file__).parent / "fixtures" / "parity" / "huggingface_clip"

STEPS = """
import json, sys
import keras_clip

answers = []
for arguments in json.loads(sys.argv[1]):
    try:
        model = keras_clip.from_preset(**{"source": "hf://me/clip", **arguments})
        model.save_to_preset(sys.argv[2] + str(len(answers)))
        answers.append(None)
    except keras_clip.DownloadError as error:
        answers.append(str(error))
print(json.dumps(answers))
"""


@pytest.fixture(params=["whole", "sharded"])
def hub(request, tmp_path):
    with hub_stand_in.running() as hub:
        files = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
        if request.param == "sharded":
            with open_checkpoint(FOLDER) as checkpoint:
                tensors = {name: checkpoint[name].read() for name in checkpoint}
            # Each tower over several shards, and shards with tensors of both.
            write_safetensors(tmp_path / "model.safetensors", tensors, None, 3000)
            del files["model.safetensors"]
            files |= {path.name: path.read_bytes() for path in tmp_path.iterdir()}
            assert len(files) > 6
        hub.repositories["me/clip"] = {"private": False, "files": files, "commits": []}
        yield hub


@pytest.fixture
def load(hub, tmp_path):
    """Loads from the stand-in, in a process of its own; returns errors, or None each."""

    def call(*steps, **environment):
        settings = {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hub"),
            "KERAS_CLIP_CACHE": str(tmp_path / "cache"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            **environment,
        }
        done = subprocess.run(
            [sys.executable, "-c", STEPS, json.dumps(steps), str(tmp_path / "got")],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return call


def arrays(path, **settings):
    weights = named_weights(from_preset(path, **settings))
    return {name: np.asarray(weight.numpy()) for name, weight in weights.items()}


def assert_same(found, wanted):
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def weights_bytes(hub):
    files = hub.repositories["me/clip"]["files"]
    return sum(len(data) for name, data in files.items() if name.endswith(".safetensors"))


def test_a_tower_comes_alone_and_is_kept(hub, load, tmp_path):
    assert load({"tower": "text"}, {"tower": "text"}) == [None, None]
    for number in (0, 1):
        assert_same(arrays(f"{tmp_path}/got{number}"), arrays(FOLDER, tower="text"))
    assert not list((tmp_path / "hub").rglob("*.safetensors"))
    text = sum(v.nbytes for v in arrays(FOLDER, tower="text").values())
    beside = sum(len(d) for n, d in hub.repositories["me/clip"]["files"].items() if "json" in n)
    # Headers, and gaps between tensors that lie close to each other, come with them.
    assert hub.sent < text + 2 * beside + 2**16
    before = hub.sent
    # The rest comes when it is asked for; nothing twice, and then nothing at all.
    assert load({"tower": "vision"}) == [None]
    assert_same(arrays(f"{tmp_path}/got0"), arrays(FOLDER, tower="vision"))
    assert hub.sent - before < weights_bytes(hub)
    assert load({"tower": "vision"}, {"tower": "text"}, HF_HUB_OFFLINE="1") == [None, None]
    assert_same(arrays(f"{tmp_path}/got1"), arrays(FOLDER, tower="text"))
    # The whole model is none of the parts.
    assert load({}) == [None]
    assert_same(arrays(f"{tmp_path}/got0"), arrays(FOLDER))


def test_what_has_arrived_is_kept_when_the_connection_breaks(hub, load, tmp_path):
    hub.cut_after = 2
    (answer,) = load({"tower": "vision"})
    assert "cannot be fetched" in answer and "\n" not in answer
    hub.cut_after = None
    assert load({"tower": "vision"}) == [None]
    assert_same(arrays(f"{tmp_path}/got0"), arrays(FOLDER, tower="vision"))


def test_without_a_network_it_says_so(load):
    (answer,) = load({"tower": "vision"}, HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE" in answer


def test_spans():
    assert merged([(5, 7), (0, 2), (2, 4), (6, 9)]) == [(0, 4), (5, 9)]
    assert merged([(0, 2), (5, 7)], gap=3) == [(0, 7)]
    assert without([(0, 10)], []) == [(0, 10)]
    assert without([(0, 10)], [(2, 4), (6, 12)]) == [(0, 2), (4, 6)]
    assert without([(0, 3), (5, 9)], [(0, 3), (5, 6), (8, 20)]) == [(6, 8)]
    assert without([(0, 3)], [(0, 3)]) == []


def test_a_file_of_a_repository_comes_with_what_stands_beside_it(load, hub, tmp_path):
    if "model.safetensors" not in hub.repositories["me/clip"]["files"]:
        pytest.skip("about one whole file")
    address = {"source": "hf://me/clip/model.safetensors"}
    assert load(address) == [None]
    assert_same(arrays(f"{tmp_path}/got0"), arrays(FOLDER))
    assert load(address, HF_HUB_OFFLINE="1") == [None]
