"""Recipes: read strictly, resolved, written back, compared; none of it runs code."""

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

import keras_clip
from keras_clip.models.config import CLIPConfig, TextConfig, vision_config
from keras_clip.train import Recipe

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "recipes"

TEXT = """
[model]
start = "clip_resnet_tiny_shapes"

[data]
source = "pairs.csv"
batch_size = 8

[data.augmentation]
scale = [0.5, 1]

[optimizer]
learning_rate = 1e-3

[run]
steps = 20

[[evaluate]]
kind = "zero_shot"
source = "../held_out"
labels = ["a cat", "a \\"dog\\""]
"""
SCRATCH = """
[model]
tokenizer = "./words.txt.gz"
initial_bias = -10

[model.vision]
hidden_dim = 8
num_layers = 1
num_heads = 1
mlp_dim = 8
patch_size = 4
image_size = [8, 12]
projection_dim = 6

[model.text]
hidden_dim = 8
num_layers = 1
num_heads = 1
mlp_dim = 8
projection_dim = 6

[data]
source = ["a.tar", "b.tar"]

[optimizer]
learning_rate = 1

[run]
epochs = 1.5
"""


@pytest.fixture
def recipe(tmp_path):
    """Writes a recipe into a folder of its own and reads it."""

    def read(text=TEXT, *overrides):
        path = tmp_path / "recipes" / "recipe.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return Recipe.from_toml(path, overrides)

    return read


def test_values_are_those_of_the_file_and_have_their_types(recipe):
    read = recipe()
    assert read.model.start == "clip_resnet_tiny_shapes"
    assert read.data.batch_size == 8 and read.run.steps == 20
    assert read.data.augmentation.scale == (0.5, 1.0)
    assert read.evaluate[0].labels == ("a cat", 'a "dog"')
    assert read.optimizer.learning_rate == 1e-3 and read.data.shuffle is True
    scratch = recipe(SCRATCH)
    assert scratch.model.clip_fields == {"initial_bias": -10.0}
    assert type(scratch.model.initial_bias) is float
    assert scratch.run.epochs == 1.5 and scratch.run.steps is None


def test_places_start_from_the_recipe_and_names_stay(recipe, tmp_path):
    read, scratch = recipe(), recipe(SCRATCH)
    assert Path(read.data.source) == tmp_path / "recipes" / "pairs.csv"
    assert Path(read.evaluate[0].source) == tmp_path / "held_out"
    assert Path(scratch.model.tokenizer) == tmp_path / "recipes" / "words.txt.gz"
    assert [Path(one).name for one in scratch.data.source] == ["a.tar", "b.tar"]
    assert all(Path(one).is_absolute() for one in scratch.data.source)
    hub = recipe(TEXT.replace("clip_resnet_tiny_shapes", "hf://org/repo"))
    assert hub.model.start == "hf://org/repo"


def test_overrides_are_toml_and_start_from_the_current_folder(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read = recipe(
        TEXT, "optimizer.learning_rate=1e-4", "data.source=here.csv", "model.start=other_preset",
        "model.vision.image_size=96", "evaluate=[]", "data.shuffle=false",
    )  # fmt: skip
    assert read.optimizer.learning_rate == 1e-4
    assert Path(read.data.source) == tmp_path / "here.csv"
    assert read.model.start == "other_preset" and read.model.vision == {"image_size": 96}
    assert read.evaluate == () and read.data.shuffle is False


@pytest.mark.parametrize("text", [TEXT, SCRATCH])
def test_what_is_written_is_read_as_the_same(recipe, text):
    read = recipe(text)
    again = Recipe.from_dict(tomllib.loads(read.to_toml()))
    assert again == read
    assert again.differences(read) == []


WRONG = {
    "optimizer.learning_rat=1": r"\[optimizer\]: .*'learning_rat'.*mean 'learning_rate'",
    "data.augmentation.flip=1": r"\[data.augmentation\]: .*'flip'.*'flip_rate'",
    "optimiser.x=1": r"'optimiser'; did you mean 'optimizer'",
    "model.vision.hiden_dim=8": r"\[model\]: vision: .*'hiden_dim'; did you mean 'hidden_dim'",
    "model.vision.image.maen=[0]": "'maen'; did you mean 'mean'",
    "model.text.context=8": "text: there is no 'context'; did you mean 'context_length'",
    "data.batch_size=large": r"\[data\], batch_size: a whole number is expected, not 'large'",
    "data.batch_size=1.5": "a whole number is expected, not 1.5",
    "data.batch_size=true": "a whole number is expected, not True",
    "data.shuffle=1": "true or false is expected, not 1",
    "data.source=3": "a string or a list, each a string, is expected, not 3",
    "data.captions=all": "'random' or 'first' or a whole number is expected, not 'all'",
    "data.batch_size=1": "batch_size is at least 2, not 1",
    "data.chunk_size=0": "chunk_size is above 0",
    "data.augmentation.scale=[0.5, 2]": r"\[data.augmentation\]: scale is",
    "data=3": "data: a table is expected, not 3",
    "data.source.x=3": "'source' is no table here",
    "model.dtype=float16": "dtype is one of float32, mixed_bfloat16",
    "run.epochs=2": "either steps or epochs",
    "run.patience=2": "patience needs `best`",
    "run.best=retrieval/recall": r"run.best is .*\['zero_shot'\]",
    'evaluate=[{kind="zero_shot"}]': r"\[evaluate\[0\]\]: source is missing",
    'evaluate=[{kind="retrieval", source="x", labels=["a"]}]': "for kind = 'zero_shot'",
    'evaluate=[{kind="retrieval", source="x"}, {kind="retrieval", source="y"}]': "are called",
    "steps": "write it as table.key=value",
    "run.max steps=3": "--set run.max steps=3: ",
}


@pytest.mark.parametrize("override", WRONG)
def test_wrong_entries_are_named_with_their_place(recipe, override):
    with pytest.raises(ValueError, match=WRONG[override]):
        recipe(TEXT, override)


def test_a_recipe_without_a_model_or_data_is_refused(recipe):
    with pytest.raises(ValueError, match=r"give `start`, a preset, or both"):
        recipe(TEXT.replace("start =", "tokenizer ="))
    with pytest.raises(ValueError, match="data, optimizer is missing"):
        recipe('[model]\nstart = "a"\n[run]\nsteps = 1\n')


def test_what_is_no_toml_is_named(recipe, tmp_path):
    with pytest.raises(ValueError, match=r"recipe.toml: not a TOML file: .*line 1"):
        recipe("import os")
    with pytest.raises(FileNotFoundError):
        Recipe.from_toml(tmp_path / "absent.toml")


def test_only_what_changes_a_step_is_a_difference(recipe):
    first = recipe()
    free = recipe(TEXT, "run.steps=40", "run.keep=1", "data.workers=2", "evaluate=[]")
    assert first.differences(free) == []
    bound = recipe(TEXT, "data.batch_size=16", "optimizer.layer_decay=0.8", "run.seed=1")
    assert first.differences(bound) == [
        "data.batch_size: 8, 16 in the other",
        "optimizer.layer_decay: nothing, 0.8 in the other",
        "run.seed: 0, 1 in the other",
    ]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_recipes_of_the_examples_are_read_and_name_presets_that_exist(path):
    read = Recipe.from_toml(path)
    assert read.model.start is None or read.model.start in keras_clip.list_presets()
    if read.model.start is None:
        vision, text = vision_config(read.model.vision), TextConfig.from_dict(read.model.text)
        CLIPConfig(vision, text, **read.model.clip_fields)


def test_the_guide_names_every_table_and_no_key_that_is_not():
    guide = (EXAMPLES.parents[1] / "docs" / "train.md").read_text("utf-8")
    for block in re.findall(r"^```toml\n(.*?)^```$", guide, re.M | re.S):
        assert Recipe.from_dict(tomllib.loads(block))
    for section in (field.name for field in dataclasses.fields(Recipe)):
        assert f"[{section}]" in guide
