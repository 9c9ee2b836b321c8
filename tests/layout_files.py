"""A small model of every layout, under the layout's own names, in every kind of file."""

import functools
import json
import pathlib

import h5py
import keras
import numpy as np
import pytest
import small_models

from keras_clip import CLIP, CLIPConfig, TextConfig, ViTConfig, from_preset
from keras_clip.convert import open_checkpoint, write_npz, write_safetensors, write_torch_zip
from keras_clip.convert.dialects import DIALECTS
from keras_clip.convert.openai_answers import OFFICIAL
from keras_clip.convert.table import read, write
from keras_clip.identification import identify
from keras_clip.models.naflex import NaFlexConfig
from keras_clip.models.vit import ViT
from keras_clip.models.weights import named_weights
from keras_clip.sources import find

FIXTURES = pathlib.Path(__file__).parent / "fixtures" / "parity"
# Checkpoints that other libraries have written.
COMMITTED = sorted(path for path in FIXTURES.iterdir() if "expected" not in path.name)
TOWER = {"hidden_dim": 16, "num_layers": 2, "num_heads": 2, "mlp_dim": 24}
VISION = {**TOWER, "patch_size": 4, "image_size": 8, "num_prefix_tokens": 0}
# A tiny model under a large one's name, of which the number of heads follows.
OPEN_CLIP = {
    "embed_dim": 48, "init_logit_bias": -10, "custom_text": True,
    "vision_cfg": {
        "timm_model_name": "vit_base_patch16_siglip_224", "timm_pool": "map", "timm_proj": "none",
        "image_size": 8,
    },
    "text_cfg": {
        "context_length": 6, "vocab_size": 40, "width": 16, "heads": 2, "layers": 2,
        "no_causal_mask": True, "proj_bias": True, "pool_type": "last", "mlp_ratio": 1.5,
        "act_kwargs": {"approximate": "tanh"}, "norm_kwargs": {"eps": 1e-6},
    },
}  # fmt: skip
OPENAI = {"config.json": OFFICIAL}  # what its tensors leave open
DESCRIBED = {
    "open_clip_siglip": {"open_clip_config.json": {"model_cfg": OPEN_CLIP}},
    "openai": OPENAI,
}


def text_of(projection_dim):
    return TextConfig(
        **{**TOWER, "vocabulary_size": 40, "context_length": 6, "causal": False},
        **{"pooling": "last", "projection_dim": projection_dim, "use_projection_bias": True},
        activation="gelu_tanh",
    )


def siglip(**changes):
    vision = {**VISION, "pooling": "attention", "activation": "gelu_tanh", **changes}
    text = text_of(vision["hidden_dim"])
    return CLIP(CLIPConfig(ViTConfig(**vision), text, initial_bias=-10.0, max_scale=None))


def naflex():
    vision = NaFlexConfig(**TOWER, patch_size=4, grid_size=(2, 2))
    return CLIP(CLIPConfig(vision, text_of(16), initial_bias=-10.0, max_scale=None))


def vit(**changes):
    return ViT(ViTConfig(**{**VISION, "num_prefix_tokens": 1, **changes}))


MADE = {
    "openai": small_models.clip,
    "open_clip": small_models.clip,
    "open_clip_siglip": functools.partial(siglip, hidden_dim=48, num_heads=12, mlp_dim=72),
    "huggingface_clip": small_models.clip,
    "huggingface_clip_classifier": functools.partial(
        vit, use_norm_pre=True, use_patch_bias=False, epsilon=1e-5, pooling="mean",
        num_classes=3, final_norm=None,
    ),
    "huggingface_siglip": siglip,
    "huggingface_siglip2": naflex,
    "huggingface_vit": functools.partial(vit, num_classes=3),
    "huggingface_deit": functools.partial(
        vit, num_prefix_tokens=2, num_classes=3, use_distillation_head=True
    ),
    "huggingface_dinov2": functools.partial(vit, layer_scale=0.1, num_register_tokens=2),
    "google": functools.partial(vit, num_classes=3, activation="gelu_tanh"),
    "dinov2": functools.partial(vit, hidden_dim=64, num_heads=1, layer_scale=0.1),
    "timm": functools.partial(vit, num_classes=3),
    "big_vision": siglip,
}  # fmt: skip


class Slot:
    """Takes the place of a variable: what is assigned is kept."""

    dtype = "float32"

    def __init__(self, shape):
        self.shape, self.value = tuple(shape), None

    def assign(self, value):
        self.value = np.array(value)


def arrays(model):
    return {n: keras.ops.convert_to_numpy(v.value) for n, v in named_weights(model).items()}


def made(dialect):
    """(tensors by the layout's names, {JSON file: content}, weights) of a model of the layout."""
    model = MADE[dialect]()
    random = np.random.default_rng(0)
    shapes = {name: array.shape for name, array in arrays(model).items()}
    weights = {n: random.standard_normal(shape).astype("float32") for n, shape in shapes.items()}
    module, config, files = DIALECTS[dialect], model.config.to_dict(), DESCRIBED.get(dialect)
    names = ["blocks.0.norm1.weight", "blocks.1.norm1.weight"]
    table = module.table(config, names) if dialect == "dinov2" else module.table(config)
    tensors = write(table, weights)
    if dialect == "dinov2":
        tensors["mask_token"] = lambda: np.zeros((1, 64), "float32")
    if files is None:
        files = module.config_to(config) if hasattr(module, "config_to") else {}
    return {n: np.array(make(), order="C") for n, make in tensors.items()}, files, weights


def stored(path):
    """The same of a checkpoint that is there."""
    with open_checkpoint(path) as checkpoint:
        tensors = {n: tensor.read() for n, tensor in checkpoint.items()}
    files = {file.name: json.loads(file.read_text()) for file in path.glob("*config*.json")}
    files = OPENAI if path.suffix == ".pt" else files
    return tensors, files, arrays(from_preset(path, config=files.get("config.json")))


def describe(folder, files):
    """A new directory with these JSON files."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def load(path, weights, /, **settings):
    """What `from_preset` does, without the time it takes to build a model: (plan, weights)."""
    chosen = settings.pop("weights", None)
    slots, found = {n: Slot(array.shape) for n, array in weights.items()}, find(str(path))
    with open_checkpoint(found.file, chosen) as checkpoint:
        plan = identify(checkpoint, found, **settings)
        read(plan.table, plan.view.tensors, slots)
    return plan, {name: slot.value for name, slot in slots.items()}


def assert_loads(path, weights, /, **settings):
    """The model comes out, bit for bit; returns its plan."""
    plan, found = load(path, weights, **settings)
    for name, array in weights.items():
        np.testing.assert_array_equal(found[name].view("int32"), array.view("int32"), err_msg=name)
    return plan


def torch_before_1_6(folder, tensors):
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(np.array(array)) for name, array in tensors.items()}
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def hdf5(folder, tensors):
    with h5py.File(folder / "model.weights.h5", "w") as file:
        for name, array in tensors.items():
            file.create_dataset(name, data=array)


def shards_of_torch(folder, tensors):
    """Two files and their index, as transformers once wrote them."""
    places = {name: f"pytorch_model-0000{i % 2 + 1}-of-00002.bin" for i, name in enumerate(tensors)}
    for file in set(places.values()):
        shard = {name: tensors[name] for name, place in places.items() if place == file}
        write_torch_zip(folder / file, shard)
    index = {"metadata": {}, "weight_map": places}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


KINDS = {
    "safetensors": lambda folder, t: write_safetensors(folder / "model.safetensors", t),
    "sharded safetensors": lambda folder, t: write_safetensors(
        folder / "model.safetensors", t, max_shard_size=sum(a.nbytes for a in t.values()) // 3
    ),
    "torch": lambda folder, t: write_torch_zip(folder / "pytorch_model.bin", t),
    "torch before 1.6": torch_before_1_6,
    "sharded torch": shards_of_torch,
    "npz": lambda folder, t: write_npz(folder / "model.safetensors", t),
    "hdf5": hdf5,
}  # fmt: skip


def saved(folder, files, tensors, kind):
    """A directory with these JSON files and these tensors."""
    KINDS[kind](describe(folder, files), tensors)
    return folder


@functools.cache
def model_of(source):
    """(tensors, JSON files, weights) of a layout's name, or of a checkpoint's path."""
    return made(source) if source in MADE else stored(source)
