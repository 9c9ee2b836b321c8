"""The demo: its pictures, its tables and plots, and what the bundled model answers."""

import json

import pytest

from keras_clip.command.arguments import BUNDLED_PRESET

pytest_plugins = ["command_line"]


def test_demo_runs_with_any_clip(run, clip_preset, tmp_path):
    plot = tmp_path / "demo.png"
    code, out, _ = run("demo", "--preset", clip_preset, "--plot", plot)
    assert code == 0 and plot.is_file()
    assert "of 12 right, each among 130 labels" in out and "text to picture" in out


def test_demo_pictures_are_few_and_small(repository):
    folder = repository / "zoo" / "demo"
    described = json.loads((folder / "demo.json").read_text())
    named = {entry["file"] for entry in described["pictures"] + described["scenes"]}
    assert named == {path.name for path in folder.glob("*.png")}
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 100_000
    assert {entry["truth"] for entry in described["pictures"]} <= set(described["labels"])


def test_demo_is_right_with_the_bundled_model(run, repository):
    if not (repository / "zoo" / BUNDLED_PRESET).is_dir():
        pytest.skip("the bundled weights are not in this checkout")
    code, out, _ = run("demo", "--json")
    result = json.loads(out)
    right = [entry["answers"][0]["label"] == entry["truth"] for entry in result["answers"]]
    assert code == 0 and sum(right) >= 11
