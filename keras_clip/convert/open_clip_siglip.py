"""SigLIP in OpenCLIP's directories: timm's image tower with attention pooling, OpenCLIP's text."""

import re

from keras_clip.convert import open_clip, openai
from keras_clip.convert.defaults.open_clip import TEXT_CFG, VISION_CFG
from keras_clip.convert.defaults.timm import SIGLIP_HEADS, activation, epsilon
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.huggingface_config import Fields
from keras_clip.convert.huggingface_siglip import MODEL, VISION_TOWER, pad_token_id
from keras_clip.convert.naming import check_image_tower, count_layers, shape_of
from keras_clip.convert.open_clip_config import (
    image_config,
    model_config,
    preprocess_config,
    refuse,
)
from keras_clip.convert.position_grid import position_grid
from keras_clip.convert.table import Row, Table, over_layers, under
from keras_clip.convert.transforms import BATCHED, CONV, LINEAR

FAMILY = "clip"

MLP = (
    Row("mlp.fc1.weight", "mlp/fc1/kernel", LINEAR),
    Row("mlp.fc1.bias", "mlp/fc1/bias"),
    Row("mlp.fc2.weight", "mlp/fc2/kernel", LINEAR),
    Row("mlp.fc2.bias", "mlp/fc2/bias"),
)
BLOCK = (
    Row("norm1.weight", "norm1/gamma"),
    Row("norm1.bias", "norm1/beta"),
    Row("attn.qkv.weight", "attention/qkv/kernel", LINEAR),
    Row("attn.qkv.bias", "attention/qkv/bias"),
    Row("attn.proj.weight", "attention/out/kernel", LINEAR),
    Row("attn.proj.bias", "attention/out/bias"),
    Row("norm2.weight", "norm2/gamma"),
    Row("norm2.bias", "norm2/beta"),
    *MLP,
)
POOLING = (
    Row("latent", "probe", BATCHED),
    Row("q.weight", "query/kernel", LINEAR),
    Row("q.bias", "query/bias"),
    Row("kv.weight", "key_value/kernel", LINEAR),
    Row("kv.bias", "key_value/bias"),
    Row("proj.weight", "out/kernel", LINEAR),
    Row("proj.bias", "out/bias"),
    Row("norm.weight", "norm/gamma"),
    Row("norm.bias", "norm/beta"),
    *MLP,
)
VISION = (
    Row("patch_embed.proj.weight", "patch_embedding/kernel", CONV),
    Row("patch_embed.proj.bias", "patch_embedding/bias"),
    Row("pos_embed", "position_embedding/embeddings", BATCHED),
    Row("norm.weight", "norm/gamma"),
    Row("norm.bias", "norm/beta"),
    *under(POOLING, "attn_pool.", "pooling/"),
)
TEXT = (*openai.TEXT, *openai.TEXT_END[:-1], *open_clip.BIASED_PROJECTION)
TRUNK = "visual.trunk."

TIMM_NAME = re.compile(rf"vit_(?P<size>{'|'.join(SIGLIP_HEADS)})_patch\d+_siglip_\d+")
# What has a name there: (width, layers, mlp_dim, patch) to the size and its resolutions.
NAMES = {
    (768, 12, 3072, 16): ("base", (224, 256, 384, 512)),
    (768, 12, 3072, 32): ("base", (256,)),
    (1024, 24, 4096, 16): ("large", (256, 384, 512)),
    (1152, 27, 4304, 14): ("so400m", (224, 378)),
    (1152, 27, 4304, 16): ("so400m", (256, 384, 512)),
    (1536, 40, 6144, 16): ("giantopt", (256, 384)),
}
# Where OpenCLIP finds the vocabularies, by their sizes.
TOKENIZERS = {
    32000: "timm/ViT-B-16-SigLIP",
    250000: "timm/ViT-B-16-SigLIP-i18n-256",
    256000: "timm/ViT-B-16-SigLIP2",
}


def table(config, names=()):
    """Return the Table of a SigLIP; `config` as of `config_from`, `names` of no influence.

    Raises:
        CheckpointError: the image tower is of another kind.
    """
    check_image_tower(config, "vit")
    layers = {tower: config[tower]["num_layers"] for tower in ("vision", "text")}
    rows = (
        *under(VISION, TRUNK, "vision/"),
        *over_layers(BLOCK, TRUNK + "blocks.{i}.", "vision/block_{i}/", layers["vision"]),
        *under(TEXT, "text.", "text/"),
        *over_layers(openai.BLOCK, "text." + openai.RESBLOCKS, "text/block_{i}/", layers["text"]),
        Row("logit_scale", "logit_scale/log_scale"),
        Row("logit_bias", "logit_scale/bias"),
    )
    return Table(rows, open_clip.IGNORE, openai.FLOAT32)


def matches(names, config=None):
    """Tell whether this is a two-tower model of OpenCLIP around timm's SigLIP image tower."""
    tensors = ("blocks.0.attn.qkv.weight", "attn_pool.latent")
    return "model_cfg" in (config or {}) and all(TRUNK + name in names for name in tensors)


def config_from(checkpoint, config, preprocessor=None, image_size=None):
    """Translate open_clip_config.json: a dictionary for `CLIPConfig.from_dict`.

    The image tower's sizes lie in its tensors, the number of its heads in the name of timm's model.

    Raises:
        CheckpointError: a value is of no use, or timm's model is not known.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    where = f"{path}: {open_clip.CONFIG_FILE}"
    model = Fields(config["model_cfg"], {"init_logit_bias": None}, where)
    vision = Fields(model.get("vision_cfg") or {}, VISION_CFG, f"{where}: vision_cfg")
    text = refuse(model.get("text_cfg"), TEXT_CFG, f"{where}: text_cfg")
    usual = "quick_gelu" if model.get("quick_gelu") else "gelu"
    tower = open_clip.text_config(text, model.integer("embed_dim"), usual, where)
    picture = _vision(checkpoint, vision, image_size, path)
    bias, stored = model.get("init_logit_bias"), (model.get("text_cfg") or {}).get("pad_id")
    return {
        **MODEL,
        "initial_bias": MODEL["initial_bias"] if bias is None else float(bias),
        "vision": {
            **picture,
            "image": image_config(config.get("preprocess_cfg"), picture["image_size"], where),
        },
        "text": {**tower, "pad_token_id": pad_token_id(tower["vocabulary_size"], stored)},
    }


def config_to(config):
    """Return {file name: content} of the JSON files that belong to the tensors.

    Raises:
        CheckpointError: timm has no model of the image tower's sizes.
    """
    vision, model = config["vision"], model_config(config)
    tokenizer = TOKENIZERS.get(config["text"]["vocabulary_size"])
    if tokenizer:
        model["text_cfg"]["hf_tokenizer_name"] = tokenizer
        model["text_cfg"]["tokenizer_kwargs"] = {"clean": "canonicalize"}
    return {
        open_clip.CONFIG_FILE: {
            "model_cfg": {
                **model,
                "vision_cfg": {
                    "image_size": vision["image_size"][0],
                    "timm_model_name": _timm_name(vision),
                    "timm_model_pretrained": False,
                    "timm_pool": "map",
                    "timm_proj": "none",
                },
            },
            "preprocess_cfg": preprocess_config(vision),
        }
    }


def _vision(checkpoint, fields, asked, path):
    name = fields.get("timm_model_name") or ""
    match = TIMM_NAME.fullmatch(name)
    if not match:
        raise CheckpointError(
            f"{path}: timm's {name!r} is not known, which leaves the number of heads open; known "
            f"are vit_{{{', '.join(SIGLIP_HEADS)}}}_patchN_siglip_N."
        )
    hidden_dim, _, *patch = shape_of(checkpoint, TRUNK + "patch_embed.proj.weight", rank=4)
    positions = TRUNK + "pos_embed"
    rows = shape_of(checkpoint, positions, rank=3)[1]
    sizes = (fields.pair("image_size"), asked)
    grid, _ = position_grid(path, positions, rows, (0,), patch, sizes)
    return {
        **VISION_TOWER,
        "hidden_dim": hidden_dim,
        "num_layers": count_layers(checkpoint, TRUNK + "blocks."),
        "num_heads": SIGLIP_HEADS[match["size"]],
        "mlp_dim": shape_of(checkpoint, TRUNK + "blocks.0.mlp.fc1.weight", rank=2)[0],
        "patch_size": tuple(patch),
        "image_size": tuple(cells * size for cells, size in zip(grid, patch, strict=True)),
        "activation": activation(name),
        "epsilon": epsilon(name),
        "position_resize": "bicubic_antialias",
    }


def _timm_name(vision):
    sizes = tuple(vision[name] for name in ("hidden_dim", "num_layers", "mlp_dim"))
    patch, side = vision["patch_size"][0], vision["image_size"][0]
    size, sides = NAMES.get((*sizes, patch), ("", ()))
    square = len({*vision["image_size"]}) == len({*vision["patch_size"]}) == 1
    if not square or side not in sides or vision["num_heads"] != SIGLIP_HEADS[size]:
        raise CheckpointError(
            f"timm has no SigLIP tower of width {sizes[0]} with {sizes[1]} layers, patches of "
            f"{patch} and pictures of {side} pixels, whose name this format needs."
        )
    return f"vit_{size}_patch{patch}_siglip_{side}"
