"""OpenCLIP's own directories: open_clip_config.json and tensors named much as OpenAI's."""

import math

from keras_clip.convert import openai, openai_resnet
from keras_clip.convert.defaults.open_clip import INITIAL_SCALE, MODEL_CFG, TEXT_CFG, VISION_CFG
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.huggingface_config import Fields
from keras_clip.convert.naming import check_image_tower, shape_of
from keras_clip.convert.open_clip_config import (
    image_config,
    is_custom_text,
    model_config,
    preprocess_config,
    refuse,
)
from keras_clip.convert.table import Row, Table, over_layers, under
from keras_clip.convert.transforms import LINEAR

FAMILY = "clip"

CONFIG_FILE = "open_clip_config.json"
SCALES = (
    Row("ls_1.gamma", "layer_scale1/gamma"),
    Row("ls_2.gamma", "layer_scale2/gamma"),
)
BIASED_PROJECTION = (
    Row("text_projection.weight", "projection/kernel", LINEAR),
    Row("text_projection.bias", "projection/bias"),
)
# What older versions stored beside the weights.
IGNORE = ("attn_mask", "text.attn_mask", "*position_ids", *openai.IGNORE)


def table(config, names=()):
    """Return the Table of a CLIP or CustomTextCLIP; `config` as of `config_from`.

    Raises:
        CheckpointError: the image tower is of another kind.
    """
    check_image_tower(config, "vit", "resnet")
    vision, text = config["vision"], config["text"]
    custom = any(n.startswith("text.") for n in names) if names else is_custom_text(config)
    rows = (
        *_vision_rows(vision),
        *under(_text_rows(text), "text." if custom else "", "text/"),
        Row("logit_scale", "logit_scale/log_scale"),
    )
    if config["initial_bias"] is not None:
        rows += (Row("logit_bias", "logit_scale/bias"),)
    if "stage_blocks" in vision:
        floats = openai.FLOAT32 + openai_resnet.FLOAT32
        return Table(rows, IGNORE + openai_resnet.IGNORE, floats)
    return Table(rows, IGNORE, openai.FLOAT32)


def matches(names, config=None):
    """Tell whether this is one of OpenCLIP's own two-tower models, by its configuration."""
    return "model_cfg" in (config or {}) and "visual.conv1.weight" in names


def config_from(checkpoint, config, preprocessor=None, image_size=None):
    """Translate open_clip_config.json: a dictionary for `CLIPConfig.from_dict`.

    Raises:
        CheckpointError: a value is of no use, or asks for what is not read; the message names it.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    where = f"{path}: {CONFIG_FILE}"
    top = Fields(config["model_cfg"], MODEL_CFG, where)
    vision, text = (
        refuse(config["model_cfg"].get(f"{tower}_cfg"), defaults, f"{where}: {tower}_cfg")
        for tower, defaults in (("vision", VISION_CFG), ("text", TEXT_CFG))
    )
    activation = "quick_gelu" if top.get("quick_gelu") else "gelu"
    dim, bias = top.integer("embed_dim"), top.get("init_logit_bias")
    resnet = isinstance(vision.get("layers"), list)
    picture = _resnet(checkpoint, vision, dim) if resnet else _vit(vision, dim, activation, where)
    scale = top.get("init_logit_scale")
    return {
        "vision": {
            **picture,
            "image": image_config(config.get("preprocess_cfg"), picture["image_size"], where),
        },
        "text": text_config(text, dim, activation, where),
        "initial_scale": INITIAL_SCALE if scale is None else math.exp(scale),
        # Sigmoid models have scales above 100, which training must not cut.
        "max_scale": 100.0 if bias is None else None,
        "initial_bias": bias,
    }


def config_to(config):
    """Return {file name: content} of the JSON files that belong to the tensors."""
    return {
        CONFIG_FILE: {
            "model_cfg": model_config(config),
            "preprocess_cfg": preprocess_config(config["vision"]),
        }
    }


def _vision_rows(vision):
    if "stage_blocks" in vision:
        return openai_resnet.vision_rows(vision)
    block = openai.BLOCK if vision["layer_scale"] is None else openai.BLOCK + SCALES
    outside = openai.VISION if vision["use_norm_pre"] else openai.VISION[:-2]
    return (
        *under(outside, "visual.", "vision/"),
        *over_layers(
            block, "visual." + openai.RESBLOCKS, "vision/block_{i}/", vision["num_layers"]
        ),
        *under(openai.VISION_END, "visual.", "vision/"),
    )


def _text_rows(text):
    end = openai.TEXT_END
    if text["use_projection_bias"]:
        end = end[:-1] + BIASED_PROJECTION
    blocks = over_layers(openai.BLOCK, openai.RESBLOCKS, "block_{i}/", text["num_layers"])
    return (*openai.TEXT, *blocks, *end)


def _vit(fields, dim, activation, where):
    width, head_width = fields.integer("width"), fields.integer("head_width")
    if width % head_width:
        raise CheckpointError(f"{where}: vision width {width} is no multiple of {head_width}.")
    mean = fields.get("pool_type") == "avg"
    return {
        **_encoder(fields, width // head_width, activation, where),
        **{name: fields.pair(name) for name in ("patch_size", "image_size")},
        "pooling": "mean" if mean else "class_token",
        "final_norm": "pooled" if mean and fields.get("final_ln_after_pool") else "tokens",
        "use_patch_bias": False,
        "use_norm_pre": not fields.get("no_ln_pre"),
        "layer_scale": fields.get("ls_init_value"),
        "position_resize": "bicubic_antialias",
        "projection_dim": dim,
    }


def _resnet(checkpoint, fields, dim):
    width = fields.integer("width")
    shape_of(checkpoint, "visual.attnpool.positional_embedding", rank=2)
    return {
        "stage_blocks": tuple(fields.get("layers")),
        "width": width,
        "num_heads": 32 * width // fields.integer("head_width"),
        "image_size": fields.pair("image_size"),
        "position_resize": "bicubic_antialias",
        "projection_dim": dim,
    }


def text_config(fields, dim, activation, where):
    """Translate `text_cfg`: a dictionary for `TextConfig`."""
    pooling = {"argmax": "highest_id", "eos": "end_token", "last": "last"}
    kind = fields.get("pool_type")
    return {
        **_encoder(fields, fields.integer("heads"), activation, where),
        "vocabulary_size": fields.integer("vocab_size"),
        "context_length": fields.integer("context_length"),
        "causal": not fields.get("no_causal_mask"),
        "pooling": pooling[kind],
        "end_token_id": fields.token_id("eos_id") if kind == "eos" else None,
        "pad_token_id": fields.token_id("pad_id"),
        "projection_dim": dim,
        "use_projection_bias": bool(fields.get("proj_bias")),
    }


def _encoder(fields, heads, activation, where):
    act, norm = fields.get("act_kwargs") or {}, fields.get("norm_kwargs") or {}
    if set(act) - {"approximate"} or set(norm) - {"eps"}:
        raise CheckpointError(f"{where}: act_kwargs={act} and norm_kwargs={norm} are not read.")
    width = fields.integer("width")
    return {
        "hidden_dim": width,
        "num_layers": fields.integer("layers"),
        "num_heads": heads,
        "mlp_dim": int(width * fields.get("mlp_ratio")),
        "activation": "gelu_tanh" if act.get("approximate") == "tanh" else activation,
        "epsilon": norm.get("eps", 1e-5),
    }
