"""Values of open_clip_config.json, both ways."""

import math

from keras_clip.convert.defaults.open_clip import PREPROCESS_CFG
from keras_clip.convert.defaults.pictures import OPEN_CLIP
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.huggingface_config import Fields

# What open_clip assumes of its newer attention blocks; other values are not read.
_FIXED_BLOCK = {
    **dict.fromkeys(("qk_norm", "scaled_cosine_attn", "scale_heads"), False),
    **dict.fromkeys(("scale_attn_inner", "scale_attn", "scale_fc"), False),
    "block_type": (None, "default"),
}
# One value, or those of a tuple, that a field must have; the rest is of other kinds of model.
FIXED = {
    **_FIXED_BLOCK,
    **{"attentional_pool": False, "timm_model_name": (None, ""), "hf_model_name": (None, "")},
    **{"embed_cls": False, "proj_type": "linear"},
}
_PICTURES = {"interpolation": ("bicubic", "bilinear"), "resize_mode": ("shortest", "squash")}
CHOICES = {"pool_type": ("tok", "avg", "argmax", "eos", "last")}
# What changes no number of the finished model, or belongs to what `FIXED` has ruled out.
FREE = (
    *("patch_dropout", "attn_pooler_queries", "attn_pooler_heads", "pos_embed_type"),
    *("output_tokens", "hf_tokenizer_name", "tokenizer_kwargs", "tokenizer_mode"),
    *("timm_model_pretrained", "timm_pool", "timm_proj", "timm_proj_bias", "timm_drop"),
    *("timm_drop_path", "hf_model_pretrained", "hf_proj_type", "hf_pooler_type"),
)


def refuse(values, defaults, where):
    """Return the Fields of a tower whose every field is understood.

    Raises:
        CheckpointError: a field is unknown, or asks for a part that is not read.
    """
    values = values or {}
    unknown = sorted(set(values) - set(defaults) - set(FIXED) - set(FREE))
    wrong = [
        f"{name}={values[name]!r}"
        for name, fixed in FIXED.items()
        if name in values and values[name] not in (fixed if isinstance(fixed, tuple) else (fixed,))
    ]
    wrong += [
        f"{name}={values[name]!r}"
        for name, choices in CHOICES.items()
        if name in values and values[name] not in choices
    ]
    if "vocab_size" in defaults and values.get("ls_init_value") is not None:
        wrong.append(f"ls_init_value={values['ls_init_value']!r}")
    if unknown or wrong:
        raise CheckpointError(
            f"{where}: {', '.join([*unknown, *wrong])} is not read: only towers of OpenCLIP's own "
            "transformers and ResNets are."
        )
    return Fields(values, defaults, where)


def image_config(values, size, where):
    """Translate `preprocess_cfg`: a dictionary for `ImageConfig`.

    Args:
        values: dictionary, or None.
        size: (height, width) of the pictures in pixels.
        where: str. File, for messages.

    Raises:
        CheckpointError: a resize that pads, or an unknown filter.
    """
    stated = {n: v for n, v in (values or {}).items() if n in PREPROCESS_CFG and v}
    image = {**PREPROCESS_CFG, **stated, **OPEN_CLIP}
    for name, choices in _PICTURES.items():
        if image[name] not in choices:
            raise CheckpointError(
                f"{where}: preprocess_cfg: {name} is {image[name]!r}, known are {choices}."
            )
    for name in ("mean", "std"):  # one number stands for all three colours
        numbers = image[name]
        image[name] = tuple(numbers) if isinstance(numbers, list | tuple) else (numbers,) * 3
    if image["resize_mode"] == "shortest" and size[0] != size[1]:
        image["interpolation"] = "bicubic"  # whatever the file says
    return image


def is_custom_text(config):
    """Whether a model is written as a CustomTextCLIP, whose text tensors begin with `text.`."""
    return config["initial_bias"] is not None or config["text"]["use_projection_bias"]


def model_config(config):
    """Return `model_cfg` of a CLIP's configuration."""
    vision, text = config["vision"], config["text"]
    values = {"embed_dim": text["projection_dim"]}
    if is_custom_text(config):
        values["custom_text"] = True
    if config["initial_bias"] is not None:
        values["init_logit_bias"] = config["initial_bias"]
    if text["activation"] == "quick_gelu":
        values["quick_gelu"] = True
    resnet = "stage_blocks" in vision
    values["vision_cfg"] = _resnet(vision) if resnet else _vit(vision)
    values["text_cfg"] = {
        **_encoder(text),
        "heads": text["num_heads"],
        "context_length": text["context_length"],
        "vocab_size": text["vocabulary_size"],
        "no_causal_mask": not text["causal"],
        "pool_type": {"highest_id": "argmax", "end_token": "eos"}.get(text["pooling"], "last"),
        "proj_bias": text["use_projection_bias"],
        "pad_id": text["pad_token_id"],
    }
    if text["end_token_id"] is not None:
        values["text_cfg"]["eos_id"] = text["end_token_id"]
    return values


def preprocess_config(vision):
    """Return `preprocess_cfg` of an image tower's configuration."""
    image = vision["image"]
    return {name: image[name] for name in ("mean", "std", "interpolation", "resize_mode")}


def _vit(vision):
    return {
        **_encoder(vision),
        "head_width": vision["hidden_dim"] // vision["num_heads"],
        "patch_size": _square(vision["patch_size"]),
        "image_size": _square(vision["image_size"]),
        "ls_init_value": vision["layer_scale"],
        "no_ln_pre": not vision["use_norm_pre"],
        "pool_type": "avg" if vision["pooling"] == "mean" else "tok",
        "final_ln_after_pool": vision["final_norm"] == "pooled",
    }


def _resnet(vision):
    return {
        "layers": list(vision["stage_blocks"]),
        "width": vision["width"],
        "head_width": 32 * vision["width"] // vision["num_heads"],
        "image_size": _square(vision["image_size"]),
        "patch_size": None,
    }


def _encoder(config):
    values = {
        "layers": config["num_layers"],
        "width": config["hidden_dim"],
        "mlp_ratio": _ratio(config["mlp_dim"], config["hidden_dim"]),
    }
    if config["epsilon"] != 1e-5:
        values["norm_kwargs"] = {"eps": config["epsilon"]}
    if config["activation"] == "gelu_tanh":
        values["act_kwargs"] = {"approximate": "tanh"}
    return values


def _ratio(mlp_dim, width):
    """The ratio whose product with the width open_clip rounds down to `mlp_dim`."""
    ratio = mlp_dim / width
    return ratio if int(width * ratio) == mlp_dim else math.nextafter(ratio, math.inf)


def _square(size):
    height, width = size
    return height if height == width else [height, width]
