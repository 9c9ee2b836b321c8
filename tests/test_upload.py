"""Presets go up to the Hub whole, with a card, and come back as they were."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import hub_stand_in
import pytest
import small_models

from keras_clip import CheckpointError, from_preset, upload_preset
from keras_clip.model_card import model_card

pytest_plugins = ["command_line"]
ADDRESS = "hf://me/my-clip"

STEPS = """
import json, sys
import keras_clip

arguments = json.loads(sys.argv[1])
try:
    told = keras_clip.upload_preset(**arguments)
    clip = keras_clip.from_preset(arguments["address"])
    clip.save_to_preset(sys.argv[2])
except keras_clip.UploadError as error:
    told = str(error)
print(json.dumps(told))
"""


@pytest.fixture
def hub():
    with hub_stand_in.running() as hub:
        yield hub


@pytest.fixture
def upload(hub, tmp_path):
    """Uploads to the stand-in and loads from it: the Hub's library reads settings on import."""

    def call(directory, token=hub_stand_in.TOKEN, endpoint=None, **arguments):
        settings = {
            "HF_ENDPOINT": endpoint or hub.url,
            "HF_HOME": str(tmp_path / "hub"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_TOKEN": token,
        }
        arguments = {"address": ADDRESS, "directory": str(directory), **arguments}
        done = subprocess.run(
            [sys.executable, "-c", STEPS, json.dumps(arguments), str(tmp_path / "back")],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return call


def contents(folder):
    return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}


def test_a_preset_goes_up_and_comes_back(hub, upload, clip_preset, tmp_path):
    before = contents(clip_preset)
    told = upload(clip_preset, private=True, license="mit", commit_message="One")
    stored = hub.repositories["me/my-clip"]
    assert stored["private"] and stored["commits"] == ["One"]
    assert told["url"].endswith(f"/me/my-clip/commit/{1:040x}")
    assert told["files"] == {n: len(d) for n, d in stored["files"].items() if n[0] != "."}
    assert stored["files"]["README.md"].decode() == told["card"]
    assert contents(clip_preset) == before  # nothing is written here
    assert {name: stored["files"][name] for name in before} == before
    assert ("PUT", "/objects/" + hashlib.sha256(before["model.safetensors"]).hexdigest()) in (
        hub.requests
    )
    assert contents(tmp_path / "back") == before
    assert small_models.same(from_preset(tmp_path / "back"), from_preset(clip_preset))


def test_only_the_preset_goes_up_and_replaces_an_earlier_one(hub, upload, clip_preset, tmp_path):
    folder = shutil.copytree(clip_preset, tmp_path / "clip")
    for name in ("secret.env", "optimizer.bin", ".hidden"):
        (folder / name).write_text("mine")
    (folder / "LICENSE").write_text("MIT")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    old = {"tokenizer.json": b"{}", "README.md": b"by hand", "photo.jpg": b"kept", "a.bin": b""}
    hub.repositories["me/my-clip"] = {"private": False, "files": dict(old), "commits": []}
    told = upload(folder)
    files = hub.repositories["me/my-clip"]["files"]
    assert set(told["files"]) == {"config.json", "model.safetensors", "LICENSE"}
    assert set(files) == {*told["files"], "README.md", "photo.jpg", "a.bin"}
    assert files["README.md"] == b"by hand"
    assert hub.repositories["me/my-clip"]["commits"] == ["Upload a keras-clip preset"]


def test_a_card_of_ones_own_goes_up(hub, upload, clip_preset, tmp_path):
    folder = shutil.copytree(clip_preset, tmp_path / "clip")
    (folder / "README.md").write_text("# Mine")
    hub.repositories["me/my-clip"] = {
        "private": False, "files": {"README.md": b"old"}, "commits": [],
    }  # fmt: skip
    assert upload(folder)["card"] == "# Mine"
    assert hub.repositories["me/my-clip"]["files"]["README.md"] == b"# Mine"


def test_refusals_are_one_clear_line(hub, upload, clip_preset):
    cases = [
        ({"token": "hf_wrong"}, "hf auth login"),
        ({"token": hub_stand_in.READER}, "may not write"),
        ({"token": ""}, "hf auth login"),
        ({"endpoint": "http://127.0.0.1:9"}, "Connect"),  # which error, is the Hub library's affair
    ]
    for arguments, told in cases:
        message = upload(clip_preset, **arguments)
        assert told in message and "me/my-clip" in message and "\n" not in message, message
    assert not hub.repositories
    hub.refuses_commits = True
    assert "nothing was committed" in upload(clip_preset)
    assert set(hub.repositories["me/my-clip"]["files"]) == {".gitattributes"}


def test_what_shall_be_private_never_goes_where_all_see_it(hub, upload, clip_preset):
    hub.repositories["me/my-clip"] = {"private": False, "files": {}, "commits": []}
    assert "everybody sees it" in upload(clip_preset, private=True)
    assert not hub.repositories["me/my-clip"]["files"]


def test_dry_run_needs_no_network(clip_preset):
    before = contents(clip_preset)
    told = upload_preset(ADDRESS, clip_preset, dry_run=True)
    assert told["url"] is None and told["repository"] == "me/my-clip"
    assert told["files"] == {
        **{name: len(data) for name, data in before.items()},
        "README.md": len(told["card"].encode()),
    }
    assert contents(clip_preset) == before


def test_the_card_tells_what_the_preset_tells(clip_preset, vit_preset):
    yaml = pytest.importorskip("yaml")
    card = upload_preset(ADDRESS, clip_preset, license="cc-by-4.0", dry_run=True)["card"]
    matter = yaml.safe_load(card.split("---\n")[1])
    assert matter == {
        "library_name": "keras",
        "license": "cc-by-4.0",
        "pipeline_tag": "zero-shot-image-classification",
        "tags": ["keras", "keras-clip", "clip"],
    }
    parameters = from_preset(clip_preset).count_params()
    for text in (ADDRESS, "embed_texts", f"{parameters:,}", "| `vision.hidden_dim` | `64` |"):
        assert text in card, text
    card = upload_preset(ADDRESS, vit_preset, dry_run=True)["card"]
    matter = yaml.safe_load(card.split("---\n")[1])
    assert matter["pipeline_tag"] == "image-classification" and "license" not in matter
    assert "7 classes" in card and "embed_texts" not in card


def test_a_card_names_a_recorded_origin(vit_preset):
    described = json.loads((pathlib.Path(vit_preset) / "config.json").read_text())
    described["config"]["num_classes"] = 0
    described |= {"source": "hf://google/vit@main", "license": "apache-2.0"}
    card = model_card("me/x", described, 5, has_tokenizer=False)
    for line in ('base_model: "google/vit"', 'license: "apache-2.0"', "hf://google/vit@main"):
        assert line in card
    assert "image-feature-extraction" in card
    tower = model_card("me/x", {**described, "family": "clip_text"}, 5, has_tokenizer=True)
    assert '"feature-extraction"' in tower and "one tower" in tower


@pytest.mark.parametrize("address", ["me/x", "hf://x", "hf://me/x@v1", "hf://me/x/config.json"])
def test_other_addresses_are_refused(address, clip_preset):
    with pytest.raises(ValueError, match="write hf://user/name"):
        upload_preset(address, clip_preset, dry_run=True)


def test_only_sound_presets_are_uploaded(clip_preset, tmp_path):
    def message(folder):
        with pytest.raises(CheckpointError) as caught:
            upload_preset(ADDRESS, folder, dry_run=True)
        return str(caught.value)

    assert "no preset of keras-clip" in message(tmp_path)
    assert "no preset of keras-clip" in message(tmp_path / "absent")
    folder = shutil.copytree(clip_preset, tmp_path / "clip")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-5])
    assert "model.safetensors" in message(folder)
    (folder / "model.safetensors").unlink()
    assert "holds no weights" in message(folder)
    described = json.loads((folder / "config.json").read_text())
    described["config"]["text"]["num_heads"] = 5
    (folder / "config.json").write_text(json.dumps(described))
    assert "num_heads" in message(folder)
