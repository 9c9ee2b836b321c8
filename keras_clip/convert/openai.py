"""OpenAI's CLIP: TorchScript archives and state dicts with their names."""

import math

from keras_clip.convert import openai_resnet
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.naming import check_image_tower, count_layers, image_tower, shape_of
from keras_clip.convert.table import Row, Table, over_layers, under
from keras_clip.convert.transforms import CONV, LINEAR, UNBATCHED

FAMILY = "clip"

# The official builder's rule; the files do not hold the number of heads.
HEAD_DIM = 64
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

RESBLOCKS = "transformer.resblocks.{i}."
BLOCK = (
    Row("ln_1.weight", "norm1/gamma"),
    Row("ln_1.bias", "norm1/beta"),
    Row("attn.in_proj_weight", "attention/qkv/kernel", LINEAR),
    Row("attn.in_proj_bias", "attention/qkv/bias"),
    Row("attn.out_proj.weight", "attention/out/kernel", LINEAR),
    Row("attn.out_proj.bias", "attention/out/bias"),
    Row("ln_2.weight", "norm2/gamma"),
    Row("ln_2.bias", "norm2/beta"),
    Row("mlp.c_fc.weight", "mlp/fc1/kernel", LINEAR),
    Row("mlp.c_fc.bias", "mlp/fc1/bias"),
    Row("mlp.c_proj.weight", "mlp/fc2/kernel", LINEAR),
    Row("mlp.c_proj.bias", "mlp/fc2/bias"),
)
VISION = (
    Row("conv1.weight", "patch_embedding/kernel", CONV),
    Row("class_embedding", "class_token/tokens", UNBATCHED),
    Row("positional_embedding", "position_embedding/embeddings"),
    Row("ln_pre.weight", "norm_pre/gamma"),
    Row("ln_pre.bias", "norm_pre/beta"),
)
# `proj` and `text_projection` multiply from the right: they are kernels as they are.
VISION_END = (
    Row("ln_post.weight", "norm/gamma"),
    Row("ln_post.bias", "norm/beta"),
    Row("proj", "projection/kernel"),
)
TEXT = (
    Row("token_embedding.weight", "token_embedding/embeddings"),
    Row("positional_embedding", "position_embedding/embeddings"),
)
TEXT_END = (
    Row("ln_final.weight", "norm/gamma"),
    Row("ln_final.bias", "norm/beta"),
    Row("text_projection", "projection/kernel"),
)
# Facts about the model that the archives keep beside its weights.
IGNORE = ("input_resolution", "context_length", "vocab_size")
# What the official half precision leaves in single.
FLOAT32 = ("*ln_*", "*embedding*", "logit_scale")


def table(config, names=()):
    """Return the Table of a CLIP; `config` as of `config_from`, `names` of no influence.

    Raises:
        CheckpointError: the image tower is of another kind.
    """
    check_image_tower(config, "vit", "resnet")
    vision, resnet = config["vision"], image_tower(config) == "resnet"
    rows = (
        *(openai_resnet.vision_rows(vision) if resnet else _vit_rows(vision)),
        *under(TEXT, "", "text/"),
        *over_layers(BLOCK, RESBLOCKS, "text/block_{i}/", config["text"]["num_layers"]),
        *under(TEXT_END, "", "text/"),
        Row("logit_scale", "logit_scale/log_scale"),
    )
    if resnet:
        return Table(rows, IGNORE + openai_resnet.IGNORE, FLOAT32 + openai_resnet.FLOAT32)
    return Table(rows, IGNORE, FLOAT32)


def _vit_rows(vision):
    return (
        *under(VISION, "visual.", "vision/"),
        *over_layers(BLOCK, "visual." + RESBLOCKS, "vision/block_{i}/", vision["num_layers"]),
        *under(VISION_END, "visual.", "vision/"),
    )


def matches(names, config=None):
    """Tell whether these tensor names are OpenAI's; they come without a configuration."""
    return "visual.conv1.weight" in names and "ln_final.weight" in names


def config_from(checkpoint, config=None, preprocessor=None):
    """Read the sizes off the tensors: a dictionary for `CLIPConfig.from_dict`.

    Raises:
        CheckpointError: sizes that do not fit together, or missing tensors.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    resnet = "visual.layer1.0.conv1.weight" in checkpoint
    vision = openai_resnet.vision_config(checkpoint) if resnet else _vit_config(checkpoint, path)
    vision["image"] = image_config()
    vocabulary, width = shape_of(checkpoint, "token_embedding.weight", rank=2)
    context, _ = shape_of(checkpoint, "positional_embedding", rank=2)
    _, text_dim = shape_of(checkpoint, "text_projection", rank=2)
    text = {
        **_encoder(checkpoint, "", width),
        "vocabulary_size": vocabulary,
        "context_length": context,
        "pooling": "highest_id",
        "projection_dim": text_dim,
    }
    return {"vision": vision, "text": text}


def config_to(config):
    """Return the JSON files of this layout: none, its sizes lie in the tensors."""
    return {}


def image_config():
    """Return the official picture transform."""
    return {
        "mean": MEAN,
        "std": STD,
        "resize_mode": "shortest",
        "interpolation": "bicubic",
        "crop": "openai",
        "color": "last",
    }


def _vit_config(checkpoint, path):
    width, _, *patch = shape_of(checkpoint, "visual.conv1.weight", rank=4)
    positions, _ = shape_of(checkpoint, "visual.positional_embedding", rank=2)
    side = math.isqrt(max(positions - 1, 0))
    if side * side != positions - 1:
        raise CheckpointError(
            f"{path}: 'visual.positional_embedding' has {positions} rows, which are not a square "
            "grid and a class token."
        )
    _, vision_dim = shape_of(checkpoint, "visual.proj", rank=2)
    return {
        **_encoder(checkpoint, "visual.", width),
        "patch_size": tuple(patch),
        "image_size": tuple(side * size for size in patch),
        "use_patch_bias": False,
        "use_norm_pre": True,
        "position_resize": "bicubic_antialias",
        "projection_dim": vision_dim,
    }


def _encoder(checkpoint, prefix, width):
    if width % HEAD_DIM:
        path = getattr(checkpoint, "path", "the checkpoint")
        raise CheckpointError(
            f"{path}: the width of '{prefix}transformer' is {width}, no multiple of {HEAD_DIM}: "
            "the number of heads cannot be known. Load it from a layout with a config.json."
        )
    blocks = prefix + "transformer.resblocks."
    return {
        "hidden_dim": width,
        "num_layers": count_layers(checkpoint, blocks),
        "num_heads": width // HEAD_DIM,
        "mlp_dim": shape_of(checkpoint, blocks + "0.mlp.c_fc.weight", rank=2)[0],
        "activation": "quick_gelu",
        "epsilon": 1e-5,
    }
