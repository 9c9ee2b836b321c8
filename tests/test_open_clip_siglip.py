"""SigLIP in OpenCLIP's directories, around timm's image tower, gives OpenCLIP's numbers."""

import functools
import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from test_siglip import arrays, assert_close, assert_same, randomized

from keras_clip import CLIP, CheckpointError, export_checkpoint, from_preset
from keras_clip.convert import open_clip_siglip, write_safetensors
from keras_clip.convert.defaults import timm
from keras_clip.convert.dialects import find_dialect
from keras_clip.convert.table import write
from keras_clip.models.config import CLIPConfig
from keras_clip.preprocessing.image_config import OPENAI_MEAN

TEXT = {
    **{"context_length": 12, "vocab_size": 70, "width": 24, "heads": 3, "layers": 2},
    **{"no_causal_mask": True, "proj_bias": True, "pool_type": "last", "mlp_ratio": 1.5},
    "norm_kwargs": {"eps": 1e-6},
}
NAMES = {
    "vit_base_patch16_siglip_224": {},
    "vit_giantopt_patch16_siglip_256": {"act_kwargs": {"approximate": "tanh"}},
}
TINY = {"embed_dim": 48, "depth": 2, "patch_size": 8, "img_size": 24, "mlp_ratio": 1.5}
CONFIG = {
    "vision": {
        **{"hidden_dim": 48, "num_layers": 2, "num_heads": 12, "mlp_dim": 72},
        **{"patch_size": 8, "image_size": 24, "num_prefix_tokens": 0, "pooling": "attention"},
    },
    "text": {
        **{"hidden_dim": 24, "num_layers": 2, "num_heads": 3, "mlp_dim": 36, "epsilon": 1e-6},
        **{"vocabulary_size": 70, "context_length": 12, "activation": "gelu", "causal": False},
        **{"pooling": "last", "projection_dim": 48, "use_projection_bias": True},
        "pad_token_id": 1,
    },
    **{"initial_scale": 10.0, "max_scale": None, "initial_bias": -10.0},
}


def described(name, **text):
    vision = {"timm_model_name": name, "timm_pool": "map", "timm_proj": "none", "image_size": 24}
    model = {"embed_dim": 48, "init_logit_bias": -10, "custom_text": True}
    return {"model_cfg": {**model, "vision_cfg": vision, "text_cfg": {**TEXT, **text}}}


def repository(folder, tensors, config):
    folder.mkdir()
    write_safetensors(folder / "open_clip_model.safetensors", tensors)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def tiny_model(name, folder, monkeypatch):
    """A model of OpenCLIP of a large one's name, saved in a folder."""
    open_clip, library = pytest.importorskip("open_clip"), pytest.importorskip("timm")
    # The names are of large towers; timm takes other sizes for them.
    monkeypatch.setattr(library, "create_model", functools.partial(library.create_model, **TINY))
    config = described(name, **NAMES[name])
    values = {k: v for k, v in config["model_cfg"].items() if k != "custom_text"}
    model = randomized(open_clip.CustomTextCLIP(**values))
    tensors = {n: value.numpy() for n, value in model.state_dict().items()}
    return model, repository(folder, tensors, config)


@pytest.mark.parametrize("size", [(24, 24), (32, 48)])
@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_those_of_open_clip(name, size, tmp_path, monkeypatch):
    import torch

    model, path = tiny_model(name, tmp_path / "siglip", monkeypatch)
    if size != (24, 24):
        model.visual.trunk.set_input_size(img_size=size)
    random = np.random.default_rng(0)
    images = random.standard_normal((2, *size, 3)).astype("float32")
    token_ids = random.integers(0, 70, (3, 12)).astype("int32")
    with torch.no_grad():
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
        first, second, scale, bias = model(pixels, torch.from_numpy(token_ids).long())
        logits = scale * first @ second.T + bias
    found = from_preset(path, image_size=size)({"images": images, "token_ids": token_ids})
    assert_close(found["image_embeddings"], first.numpy())
    assert_close(found["text_embeddings"], second.numpy())
    assert_close(found["logits"], logits.numpy())


@pytest.fixture
def clip():
    model = CLIP(CLIPConfig.from_dict(CONFIG))
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(0.3 * random.standard_normal(weight.shape) + 0.5)
    return model


def test_a_directory_is_read(clip, tmp_path):
    tensors = write(open_clip_siglip.table(CONFIG), arrays(clip))
    assert tensors["visual.trunk.attn_pool.latent"]().shape == (1, 1, 48)
    assert tensors["logit_scale"]().shape == tensors["logit_bias"]().shape == ()
    config = described("vit_base_patch16_siglip_224")
    again = from_preset(repository(tmp_path / "siglip", tensors, config))
    assert_same(again, clip)
    vision, image = again.config.vision, again.config.vision.image
    assert (vision.activation, vision.epsilon, vision.num_heads) == ("gelu", 1e-6, 12)
    assert vision.position_resize == "bicubic_antialias" and vision.projection_dim is None
    # As OpenCLIP has it where a directory does not say.
    assert (image.resize_mode, image.mean, image.color) == ("shortest", OPENAI_MEAN, "last")
    assert again.config.text == clip.config.text
    assert keras.ops.convert_to_numpy(again.get_layer("logit_scale").bias) == clip.bias


def shapes(config):
    """A checkpoint of which only names and shapes matter."""
    vision, text = config["vision"], config["text"]
    width, side = vision["hidden_dim"], vision["image_size"] // vision["patch_size"]
    trunk = {
        "patch_embed.proj.weight": (width, 3, vision["patch_size"], vision["patch_size"]),
        "pos_embed": (1, side * side, width),
        "attn_pool.latent": (1, 1, width),
        **{f"blocks.{i}.mlp.fc1.weight": (vision["mlp_dim"], width) for i in range(text["depth"])},
        "blocks.0.attn.qkv.weight": (3 * width, width),
    }
    return {f"visual.trunk.{n}": SimpleNamespace(shape=shape) for n, shape in trunk.items()}


def test_timms_names_are_written_and_read():
    for (width, layers, mlp_dim, patch), (size, sides) in open_clip_siglip.NAMES.items():
        vision = {"hidden_dim": width, "num_layers": layers, "mlp_dim": mlp_dim}
        vision["num_heads"] = timm.SIGLIP_HEADS[size]
        for side in sides:
            vision["activation"] = timm.activation(f"vit_{size}_patch{patch}_siglip_{side}")
            vision |= {"patch_size": patch, "image_size": side}
            values = {**CONFIG, "vision": {**CONFIG["vision"], **vision}}
            values["text"] = {**CONFIG["text"], "projection_dim": width, "vocabulary_size": 32000}
            config = CLIPConfig.from_dict(values)
            files = json.loads(json.dumps(open_clip_siglip.config_to(config.to_dict())))
            checkpoint = shapes({**values, "text": {"depth": layers}})
            described = files["open_clip_config.json"]
            assert find_dialect(checkpoint, described) == ("open_clip_siglip", open_clip_siglip)
            text = described["model_cfg"]["text_cfg"]
            assert text["hf_tokenizer_name"] == "timm/ViT-B-16-SigLIP"
            back = CLIPConfig.from_dict(open_clip_siglip.config_from(checkpoint, described))
            assert back.vision.image.color == "last"
            vision_back = back.vision.replace(image=config.vision.image)
            assert back.replace(vision=vision_back) == config


def test_what_timm_has_no_name_for(clip, tmp_path):
    with pytest.raises(CheckpointError, match="no SigLIP tower of width 48 with 2 layers"):
        export_checkpoint(clip, tmp_path / "copy", "open_clip")
    checkpoint = shapes({**CONFIG, "text": {"depth": 2}})
    with pytest.raises(CheckpointError, match="'vit_tiny' is not known"):
        open_clip_siglip.config_from(checkpoint, described("vit_tiny"))
    checkpoint["visual.trunk.pos_embed"].shape = (1, 10, 48)
    with pytest.raises(CheckpointError, match="10 rows"):
        open_clip_siglip.config_from(checkpoint, described("vit_base_patch16_siglip_224"))
