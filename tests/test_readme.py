"""README.md: its snippets run, its table is the zoo's, and what it names is there."""

import os
import pathlib
import re
import shlex
import shutil
import sys

import pytest

from keras_clip import cli

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)( no-run)?\n(.*?)^```$", README, re.M | re.S)
BUNDLED = ROOT / "zoo" / "clip_resnet_tiny_shapes"


def blocks(language, run=True):
    return [text for kind, marked, text in BLOCKS if kind == language and run != bool(marked)]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty directory with the pictures that the snippets name."""
    if not BUNDLED.is_dir():
        pytest.skip("the bundled weights are not in this checkout")
    shutil.copytree(ROOT / "zoo" / "demo", tmp_path / "pictures")
    (tmp_path / "pictures" / "demo.json").unlink()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_snippets_and_commands_run(workplace, capsys):
    names = {}
    for text in blocks("python"):
        exec(compile(text, "README.md", "exec"), names)
    assert names["probabilities"].argmax(axis=1).tolist() == [2, 0]
    assert names["best"] == "pictures/red_arrow.png"
    assert names["outputs"]["logits"].shape == (3, 2)
    commands = [line for text in blocks("sh") for line in text.splitlines() if "keras-clip" in line]
    assert len(commands) >= 12
    for line in commands:
        assert cli.main(shlex.split(line)[1:]) == 0, capsys.readouterr().err
    for name in ("vectors/manifest.json", "clip.pt", "found.html", "where.png", "confusion.png"):
        assert (workplace / name).is_file(), name


def test_snippets_that_need_a_network_are_few_and_name_what_exists():
    from keras_clip import list_presets

    snippets = blocks("python", run=False)
    assert len(snippets) <= 2
    for text in snippets:
        compile(text, "README.md", "exec")
        for name in re.findall(r'from_preset\("(\w+)"', text):
            assert name in list_presets()


def test_table_of_presets_is_that_of_the_zoo(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import preset_tables

    assert preset_tables.updated(README) == README, "run python scripts/preset_tables.py"
    assert preset_tables.ZOO.read_text("utf-8") == preset_tables.zoo(), "likewise"


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_pictures_are_small():
    for path in (ROOT / "docs").glob("*.png"):
        assert path.stat().st_size <= 150_000, path


@pytest.mark.parametrize("target", ["demo", "test"])
def test_make_targets_exist(target):
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "examples").glob("*.py")))
def test_examples_run(name, workplace, monkeypatch, capsys, backend):
    if name == "draw_pictures" and backend != "jax":
        pytest.skip("it draws the same pictures on every backend")
    few = {"contrastive_fit": ["--steps", "2"], "fine_tune_vit": ["--epochs", "1"]}
    monkeypatch.syspath_prepend(ROOT / "examples")
    module = __import__(name)
    module.main(few.get(name, []))
    assert capsys.readouterr().out.strip()
    del sys.modules[name]
    assert sorted(os.listdir(workplace)) == ["pictures"]
