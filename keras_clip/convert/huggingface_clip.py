"""The CLIP directories of transformers: config.json and tensors as in CLIPModel, MetaClip2Model."""

from keras_clip.convert.defaults.huggingface import MODELS as DEFAULTS
from keras_clip.convert.defaults.pictures import CLIP
from keras_clip.convert.huggingface_config import ACTIVATION_NAMES, Fields
from keras_clip.convert.huggingface_images import image_config, preprocessor_config
from keras_clip.convert.naming import check_image_tower
from keras_clip.convert.table import Row, Table, over_layers, under
from keras_clip.convert.transforms import CONV, LINEAR, UNBATCHED, part

FAMILY = "clip"

BLOCK = (
    Row("layer_norm1.weight", "norm1/gamma"),
    Row("layer_norm1.bias", "norm1/beta"),
    Row("self_attn.q_proj.weight", "attention/qkv/kernel", part(0, 3, LINEAR)),
    Row("self_attn.k_proj.weight", "attention/qkv/kernel", part(1, 3, LINEAR)),
    Row("self_attn.v_proj.weight", "attention/qkv/kernel", part(2, 3, LINEAR)),
    Row("self_attn.q_proj.bias", "attention/qkv/bias", part(0, 3)),
    Row("self_attn.k_proj.bias", "attention/qkv/bias", part(1, 3)),
    Row("self_attn.v_proj.bias", "attention/qkv/bias", part(2, 3)),
    Row("self_attn.out_proj.weight", "attention/out/kernel", LINEAR),
    Row("self_attn.out_proj.bias", "attention/out/bias"),
    Row("layer_norm2.weight", "norm2/gamma"),
    Row("layer_norm2.bias", "norm2/beta"),
    Row("mlp.fc1.weight", "mlp/fc1/kernel", LINEAR),
    Row("mlp.fc1.bias", "mlp/fc1/bias"),
    Row("mlp.fc2.weight", "mlp/fc2/kernel", LINEAR),
    Row("mlp.fc2.bias", "mlp/fc2/bias"),
)
VISION = (
    Row("embeddings.patch_embedding.weight", "patch_embedding/kernel", CONV),
    Row("embeddings.class_embedding", "class_token/tokens", UNBATCHED),
    Row("embeddings.position_embedding.weight", "position_embedding/embeddings"),
    Row("pre_layrnorm.weight", "norm_pre/gamma"),
    Row("pre_layrnorm.bias", "norm_pre/beta"),
    Row("post_layernorm.weight", "norm/gamma"),
    Row("post_layernorm.bias", "norm/beta"),
)
TEXT = (
    Row("embeddings.token_embedding.weight", "token_embedding/embeddings"),
    Row("embeddings.position_embedding.weight", "position_embedding/embeddings"),
    Row("final_layer_norm.weight", "norm/gamma"),
    Row("final_layer_norm.bias", "norm/beta"),
)
TOP = (
    Row("visual_projection.weight", "vision/projection/kernel", LINEAR),
    Row("text_projection.weight", "text/projection/kernel", LINEAR),
    Row("logit_scale", "logit_scale/log_scale"),
)
# Counters that older versions stored.
IGNORE = ("*_model.embeddings.position_ids",)

# The value by which a CLIPModel knows configurations that stem from before it was right; a
# MetaClip2Model means it.
LEGACY_END = 2
CLASSES = {"clip": "CLIP", "metaclip_2": "MetaClip2"}  # how the names of its classes begin


def table(config, names=()):
    """Return the Table of a CLIP; `config` as of `config_from`, `names` of no influence.

    Raises:
        CheckpointError: the image tower is of another kind.
    """
    check_image_tower(config, "vit")
    layers = {tower: config[tower]["num_layers"] for tower in ("vision", "text")}
    rows = TOP
    for tower, outside in (("vision", VISION), ("text", TEXT)):
        source, target = f"{tower}_model.", f"{tower}/"
        rows += under(outside, source, target)
        rows += over_layers(
            BLOCK, source + "encoder.layers.{i}.", target + "block_{i}/", layers[tower]
        )
    return Table(rows, IGNORE)


def matches(names, config=None):
    """Tell whether this is a CLIPModel or MetaClip2Model, by its configuration."""
    return (config or {}).get("model_type") in CLASSES


def config_from(checkpoint, config, preprocessor=None, image_size=None):
    """Translate config.json: a dictionary for `CLIPConfig.from_dict`.

    Values left out have transformers' defaults; the projection's width is the top level's, the
    towers often hold a wrong one.

    Raises:
        CheckpointError: a value is of no use; the message names it.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    kind = CLASSES[config.get("model_type", "clip")]
    top = Fields(config, DEFAULTS[f"{kind}Config"], f"{path}: config.json")
    dim = top.integer("projection_dim")
    vision = _tower(config, "vision", DEFAULTS[f"{kind}VisionConfig"], path)
    text = _tower(config, "text", DEFAULTS[f"{kind}TextConfig"], path)
    end = text.token_id("eos_token_id")
    legacy = end == LEGACY_END and config.get("model_type") == "clip"
    return {
        "vision": {
            **vision.encoder(),
            **vision.picture(),
            "use_patch_bias": False,
            "use_norm_pre": True,
            "position_resize": "bicubic",
            "projection_dim": dim,
            # These models are OpenAI's and OpenCLIP's: their own crop and colours win.
            "image": image_config(preprocessor, "CLIPImageProcessor", CLIP, path),
        },
        "text": {
            **text.encoder(),
            "vocabulary_size": text.integer("vocab_size"),
            "context_length": text.integer("max_position_embeddings"),
            "pooling": "highest_id" if legacy else "end_token",
            "end_token_id": None if legacy else end,
            "pad_token_id": text.get("pad_token_id") or 0,
            "projection_dim": dim,
        },
    }


def config_to(config):
    """Return {file name: content} of the JSON files that belong to the tensors."""
    vision, text = config["vision"], config["text"]
    end = text["end_token_id"]
    sizes = {"projection_dim": text["projection_dim"]}
    kind = "metaclip_2" if end == LEGACY_END else "clip"
    return {
        "config.json": {
            "architectures": [f"{CLASSES[kind]}Model"],
            "model_type": kind,
            **sizes,
            "logit_scale_init_value": 2.6592,
            "vision_config": {
                "model_type": f"{kind}_vision_model",
                **_fields(vision),
                **sizes,
                "image_size": _square(vision["image_size"]),
                "patch_size": _square(vision["patch_size"]),
            },
            "text_config": {
                "model_type": f"{kind}_text_model",
                **_fields(text),
                **sizes,
                "vocab_size": text["vocabulary_size"],
                "max_position_embeddings": text["context_length"],
                "pad_token_id": text["pad_token_id"],
                "bos_token_id": text["vocabulary_size"] - 2,
                "eos_token_id": LEGACY_END if text["pooling"] == "highest_id" else end,
            },
        },
        "preprocessor_config.json": preprocessor_config(vision, "CLIPImageProcessor"),
    }


def _tower(config, tower, defaults, path):
    values = config.get(f"{tower}_config") or {}
    # Where the older `_dict` stands as well, transformers takes it and its defaults over.
    older = config.get(f"{tower}_config_dict")
    if older:
        values = {**values, **defaults, **older}
    return Fields(values, defaults, f"{path}: {tower}_config in config.json")


def _fields(config):
    return {
        "hidden_size": config["hidden_dim"],
        "num_hidden_layers": config["num_layers"],
        "num_attention_heads": config["num_heads"],
        "intermediate_size": config["mlp_dim"],
        "hidden_act": ACTIVATION_NAMES[config["activation"]],
        "layer_norm_eps": config["epsilon"],
    }


def _square(size):
    height, width = size
    return height if height == width else [height, width]
