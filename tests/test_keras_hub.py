"""KerasHub's CLIP presets: configuration, weights, vocabulary and picture settings come along."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import small_models

from keras_clip import CheckpointError, CLIPConfig, from_preset
from keras_clip.convert import keras_hub_clip

PRESET = pathlib.Path(__file__).parent / "fixtures" / "parity" / "keras_hub_clip"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(PRESET, tmp_path / "preset")


def edit(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def test_what_belongs_to_the_weights_comes_with_them(tmp_path):
    clip = from_preset(PRESET)
    image = clip.config.vision.image
    np.testing.assert_allclose((image.mean, image.std), ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)))
    assert (image.resize_mode, image.interpolation, image.crop) == ("shortest", "bicubic", "openai")
    vocabulary = json.loads((PRESET / "assets/tokenizer/vocabulary.json").read_text())
    the, cat = vocabulary["the</w>"], vocabulary["cat</w>"]
    start, end = vocabulary["<|startoftext|>"], vocabulary["<|endoftext|>"]
    assert clip.tokenizer(["The cat"]).tolist() == [[start, the, cat, end, 0, 0, 0, 0, 0, 0]]
    clip.save_to_preset(tmp_path / "ours")
    again = from_preset(tmp_path / "ours")
    assert again.config == clip.config and small_models.same(again, clip)
    assert again.tokenizer.vocabulary == vocabulary


def test_pictures_are_openais_where_nothing_is_said(folder):
    (folder / "image_converter.json").unlink()
    assert from_preset(folder).config.vision.image.mean == (0.48145466, 0.4578275, 0.40821073)


def test_one_tower_and_another_size(folder):
    vision = from_preset(folder, tower="vision", image_size=(16, 32))
    assert vision.get_layer("position_embedding").grid_size == (2, 4)


def test_other_backbones_are_named(folder):
    edit(folder, lambda config: config.update(registered_name="keras_hub>GemmaBackbone"))
    with pytest.raises(CheckpointError, match="registered_name 'keras_hub>GemmaBackbone'"):
        from_preset(folder)


@pytest.mark.parametrize(
    ("change", "mention"),
    [
        (lambda config: config.pop("config"), "no 'config'"),
        (lambda config: config["config"].pop("vision_encoder"), "vision_encoder: there is no"),
        (
            lambda config: config["config"]["text_encoder"]["config"].update(hidden_dim="8"),
            "text_encoder: hidden_dim is '8'",
        ),
        (
            lambda config: config["config"]["vision_encoder"]["config"].update(image_shape=[24]),
            r"image_shape is \[24\]",
        ),
        (
            lambda config: config["config"]["text_encoder"]["config"].update(
                intermediate_activation="relu"
            ),
            "intermediate_activation is 'relu'",
        ),
        (lambda config: config["config"].update(projection_dim=7), "dense/vars/0: file"),
    ],
)
def test_a_bad_configuration_is_named(folder, change, mention):
    edit(folder, change)
    with pytest.raises(CheckpointError, match=mention):
        from_preset(folder)


def test_sizes_are_read_off_the_configuration():
    config = json.loads((PRESET / "config.json").read_text())
    built = CLIPConfig.from_dict(keras_hub_clip.config_from({}, config))
    assert (built.vision.patch_size, built.vision.image_size) == ((8, 8), (24, 24))
    assert (built.vision.num_heads, built.text.num_heads) == (3, 2)
    assert (built.text.context_length, built.text.pooling) == (10, "highest_id")
