"""What a file of weights is follows from its bytes and what stands beside it, never its name."""

import pathlib
import shutil

import pytest
import small_models

from keras_clip import CheckpointError
from keras_clip.convert import open_checkpoint
from keras_clip.convert import openai as openai_names
from keras_clip.convert import timm_vit as timm_names
from keras_clip.convert.table import write
from keras_clip.convert.write import write_safetensors, write_torch_zip
from keras_clip.hub_files import WEIGHTS
from keras_clip.presets import identify
from keras_clip.sources import find

FIXTURES = pathlib.Path(__file__).parent / "fixtures" / "parity"
NAMES = (*WEIGHTS, "epoch_32.pt", "ViT-B-32-quickgelu.pt", "open_clip.bin", "timm.pth", "a.npz")
NAMES += ("a",)
DIRECTORIES = {
    "transformers' CLIP": "huggingface_clip",
    "transformers' ViT": "huggingface_vit",
    "OpenCLIP": "open_clip_mean",
}
STRANGERS = ("transformers' CLIP", "transformers' ViT", "a preset")


def openai(folder):
    shutil.copy(FIXTURES / "openai_clip.pt", folder / "weights")


def training(folder):
    """What OpenCLIP's training saves has OpenAI's names, and not a word of the activation."""
    clip = small_models.clip()
    tensors = write(openai_names.table(clip.config.to_dict()), small_models.arrays(clip))
    write_torch_zip(folder / "weights", tensors)


def google(folder):
    shutil.copy(FIXTURES / "google_vit.npz", folder / "weights")


def directory(name):
    def make(folder):
        shutil.copytree(FIXTURES / DIRECTORIES[name], folder, dirs_exist_ok=True)
        (weights,) = (path for path in folder.iterdir() if path.name in WEIGHTS)
        weights.rename(folder / "weights")

    return make


def transformers_alone(folder):
    shutil.copy(FIXTURES / "huggingface_vit" / "model.safetensors", folder / "weights")


def preset(folder):
    small_models.vit().save_to_preset(folder)
    (folder / "model.safetensors").rename(folder / "weights")


def timm(folder):
    vit = small_models.vit(use_qkv_bias=True)
    tensors = write(timm_names.table(vit.config.to_dict()), small_models.arrays(vit))
    write_safetensors(folder / "weights", tensors)


def words(folder):
    """A vocabulary in a folder that describes no model is no one's; OpenAI's is known by name."""
    openai(folder)
    small_models.tokenizer().save(folder)


def stranger(name):
    """A folder in which another model lies as well, with its configuration and vocabulary."""

    def make(folder):
        preset(folder) if name == "a preset" else directory(name)(folder)
        small_models.tokenizer().save(folder)
        openai(folder)

    return make


# What is made, what is said of it, and what comes of it: a layout, or a message.
FILES = {
    "OpenAI": (openai, {}, "openai"),
    "OpenAI's beside a vocabulary": (words, {}, "openai"),
    **{f"OpenAI's beside {name}": (stranger(name), {}, "openai") for name in STRANGERS},
    "bare OpenCLIP": (training, {}, "do not tell quick_gelu"),
    "bare OpenCLIP with answers": (
        training, {"config": {"quick_gelu": False, "head_width": 64, "eos_id": None}}, "openai",
    ),
    "Google": (google, {}, "google"),
    "transformers' CLIP": (directory("transformers' CLIP"), {}, "huggingface_clip"),
    "transformers' ViT": (directory("transformers' ViT"), {}, "huggingface_vit"),
    "OpenCLIP": (directory("OpenCLIP"), {}, "open_clip"),
    "transformers' file alone": (transformers_alone, {}, "layout is not known"),
    "a preset": (preset, {}, "keras"),
    "timm": (timm, {}, "architecture is None"),
    "timm with a family": (timm, {"family": "vit"}, "no known number of heads"),
}  # fmt: skip


def outcome(path, given):
    """What is known of a file: its plan and its vocabulary's places, or the reason why not."""
    found = find(str(path))
    with open_checkpoint(found.file) as checkpoint:
        try:
            plan = identify(checkpoint, found, **given)
        except CheckpointError as error:
            return str(error).replace(str(path), "FILE")
        rows = [(row.source, row.target) for row in plan.table.rows]
        return plan.layout, plan.stored, rows, found.owned(checkpoint).tokenizers


@pytest.mark.parametrize("kind", FILES)
def test_the_same_bytes_are_the_same_under_every_name(kind, tmp_path):
    make, given, expected = FILES[kind]
    make(tmp_path)
    first, path = None, tmp_path / "weights"
    for name in NAMES:
        path = path.rename(tmp_path / name)
        found = outcome(path, given)
        first = found if first is None else first
        assert found == first, name
    assert isinstance(first, str) == (" " in expected)
    assert expected in first if isinstance(first, str) else first[0] == expected
    if kind.startswith("OpenAI's beside"):
        assert first[3] == [None]
