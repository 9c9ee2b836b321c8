"""One tower of a CLIP, read, built, used and saved without the other."""

import json
import pathlib
import shutil

import keras
import numpy as np
import pytest
import small_models
from tiny_models import tiny_clip, tiny_images, tiny_token_ids, tiny_tokenizer

from keras_clip import CheckpointError, from_preset
from keras_clip.convert.tensors import LazyTensor
from keras_clip.models.towers import TextTower, VisionTower

FIXTURES = pathlib.Path(__file__).parent / "fixtures" / "parity"


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("name", ["huggingface_clip", "openai_clip.pt", "open_clip_resnet"])
def test_a_tower_gives_what_it_gives_in_its_model(name):
    with np.load(FIXTURES / f"{name.removesuffix('.pt')}_expected.npz") as file:
        images, token_ids = file["images"], file["token_ids"]
    clip = from_preset(FIXTURES / name)
    vision = from_preset(FIXTURES / name, tower="vision")
    text = from_preset(FIXTURES / name, tower="text")
    assert isinstance(vision, VisionTower) and isinstance(text, TextTower)
    np.testing.assert_array_equal(array(vision(images)), array(clip.encode_image(images)))
    np.testing.assert_array_equal(array(text(token_ids)), array(clip.encode_text(token_ids)))
    assert vision.count_params() + text.count_params() == clip.count_params() - 1  # the scale


@pytest.mark.parametrize("tower", ["vision", "text"])
def test_only_that_part_is_read(tower, monkeypatch):
    read, taken = LazyTensor.read, []
    monkeypatch.setattr(LazyTensor, "read", lambda self: taken.append(self.name) or read(self))
    from_preset(FIXTURES / "huggingface_clip", tower=tower)
    other = {"vision": "text", "text": "vis"}[tower]
    assert taken and not any(name.startswith(other) for name in taken)


def test_pictures_of_another_size():
    with np.load(FIXTURES / "huggingface_clip_expected.npz") as file:
        images, wanted = file["images_large"], file["image_embeddings_large"]
    vision = from_preset(
        FIXTURES / "huggingface_clip", tower="vision", image_size=images.shape[1:3]
    )
    assert np.abs(array(vision(images)) - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_a_resnet_takes_pictures_of_another_size():
    vision = from_preset(FIXTURES / "open_clip_resnet", tower="vision", image_size=(64, 96))
    assert vision.get_layer("position_embedding").grid_size == (2, 3)
    assert array(vision(np.zeros((1, 64, 96, 3), "float32"))).shape == (1, 16)


def test_raw_inputs_are_embedded_as_by_the_model():
    clip = tiny_clip(tokenizer=tiny_tokenizer())
    pictures = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), "uint8")
    vision = clip.get_layer("vision")
    np.testing.assert_array_equal(vision.embed_images(pictures), clip.embed_images(pictures))
    text = TextTower(clip.config.text, clip.tokenizer)
    text.set_weights(clip.get_layer("text").get_weights())
    texts = ["a red circle", "two"]
    np.testing.assert_array_equal(text.embed_texts(texts), clip.embed_texts(texts))
    with pytest.raises(ValueError, match="TextTower has no tokenizer"):
        clip.get_layer("text").embed_texts(texts)


@pytest.mark.parametrize("form", ["preset", "keras"])
@pytest.mark.parametrize("tower", ["vision", "text"])
def test_a_tower_is_saved(tower, form, tmp_path):
    clip = tiny_clip(tokenizer=tiny_tokenizer())
    clip.save_to_preset(tmp_path / "clip")
    model = from_preset(tmp_path / "clip", tower=tower)
    if form == "preset":
        model.save_to_preset(tmp_path / "tower")
        again = from_preset(tmp_path / "tower")
    else:
        model.save(tmp_path / "tower.keras")
        again = keras.models.load_model(tmp_path / "tower.keras")
    assert type(again) is type(model) and again.config == model.config
    inputs = tiny_images(2) if tower == "vision" else tiny_token_ids(2)
    np.testing.assert_array_equal(array(again(inputs)), array(model(inputs)))
    if tower == "text":
        assert again.tokenizer.get_config() == clip.tokenizer.get_config()


def test_a_wrong_tower_is_a_clear_error():
    with pytest.raises(ValueError, match="tower='audio': a CLIP has"):
        from_preset(FIXTURES / "huggingface_clip", tower="audio")
    with pytest.raises(ValueError, match=r"tower=.vision.: a CLIP has .* others have none"):
        from_preset(FIXTURES / "huggingface_vit", tower="vision")


@pytest.mark.parametrize("given", ["path", "dictionary"])
def test_a_bare_file_takes_its_configuration_from_elsewhere(given, tmp_path):
    folder = FIXTURES / "open_clip_mean"
    file = shutil.copy(folder / "open_clip_model.safetensors", tmp_path / "weights.safetensors")
    config = folder / "open_clip_config.json"
    config = config if given == "path" else json.loads(config.read_text())
    assert small_models.same(from_preset(file, config=config), from_preset(folder))
    assert from_preset(file, config=config).config == from_preset(folder).config


def test_a_configuration_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match="there is no such file; config= names a JSON"):
        from_preset(FIXTURES / "openai_clip.pt", config=tmp_path / "absent.json")
