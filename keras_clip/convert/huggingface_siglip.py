"""The SigLIP directories of transformers: config.json and tensors as in SiglipModel."""

from keras_clip.convert.defaults.huggingface import MODELS as DEFAULTS
from keras_clip.convert.defaults.pictures import SIGLIP
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.huggingface_clip import BLOCK, IGNORE
from keras_clip.convert.huggingface_config import ACTIVATION_NAMES, Fields
from keras_clip.convert.huggingface_images import image_config, preprocessor_config
from keras_clip.convert.naming import check_image_tower
from keras_clip.convert.table import Row, Table, over_layers, under
from keras_clip.convert.transforms import BATCHED, CONV, LINEAR, share

FAMILY = "clip"

# PyTorch's attention holds query, key and value in one tensor, ours the query alone.
POOLING = (
    Row("probe", "probe", BATCHED),
    Row("attention.in_proj_weight", "query/kernel", share(0, 1, 3, LINEAR)),
    Row("attention.in_proj_weight", "key_value/kernel", share(1, 3, 3, LINEAR)),
    Row("attention.in_proj_bias", "query/bias", share(0, 1, 3)),
    Row("attention.in_proj_bias", "key_value/bias", share(1, 3, 3)),
    Row("attention.out_proj.weight", "out/kernel", LINEAR),
    Row("attention.out_proj.bias", "out/bias"),
    Row("layernorm.weight", "norm/gamma"),
    Row("layernorm.bias", "norm/beta"),
    Row("mlp.fc1.weight", "mlp/fc1/kernel", LINEAR),
    Row("mlp.fc1.bias", "mlp/fc1/bias"),
    Row("mlp.fc2.weight", "mlp/fc2/kernel", LINEAR),
    Row("mlp.fc2.bias", "mlp/fc2/bias"),
)
VISION = (
    Row("embeddings.patch_embedding.weight", "patch_embedding/kernel", CONV),
    Row("embeddings.patch_embedding.bias", "patch_embedding/bias"),
    Row("embeddings.position_embedding.weight", "position_embedding/embeddings"),
    Row("post_layernorm.weight", "norm/gamma"),
    Row("post_layernorm.bias", "norm/beta"),
    *under(POOLING, "head.", "pooling/"),
)
TEXT = (
    Row("embeddings.token_embedding.weight", "token_embedding/embeddings"),
    Row("embeddings.position_embedding.weight", "position_embedding/embeddings"),
    Row("final_layer_norm.weight", "norm/gamma"),
    Row("final_layer_norm.bias", "norm/beta"),
    Row("head.weight", "projection/kernel", LINEAR),
    Row("head.bias", "projection/bias"),
)
TOP = (
    Row("logit_scale", "logit_scale/log_scale", BATCHED),
    Row("logit_bias", "logit_scale/bias", BATCHED),
)

# What every SigLIP has, whoever stores it.
MODEL = {"initial_scale": 10.0, "max_scale": None, "initial_bias": -10.0}
VISION_TOWER = {"num_prefix_tokens": 0, "pooling": "attention"}
TEXT_TOWER = {"causal": False, "pooling": "last", "use_projection_bias": True}
# SigLIP 2 has Gemma's vocabulary, whose padding has an id of its own; before, the end fills up.
GEMMA_SIZE, GEMMA_PAD, END = 256000, 0, 1


def table(config, names=()):
    """Return the Table of a SigLIP; `config` as of `config_from`, `names` of no influence.

    Raises:
        CheckpointError: the image tower is of another kind.
    """
    check_image_tower(config, "vit")
    return two_towers(config, VISION)


def two_towers(config, vision):
    """Return the Table of both towers; `vision` are the rows outside the image tower's blocks."""
    rows = TOP
    for tower, outside in (("vision", vision), ("text", TEXT)):
        source, layers = f"{tower}_model.", config[tower]["num_layers"]
        rows += under(outside, source, f"{tower}/")
        rows += over_layers(BLOCK, source + "encoder.layers.{i}.", tower + "/block_{i}/", layers)
    return Table(rows, IGNORE)


def matches(names, config=None):
    """Tell whether this is a SiglipModel, by its configuration; SigLIP 2 at one size is one too."""
    return (config or {}).get("model_type") == "siglip"


def config_from(checkpoint, config, preprocessor=None, image_size=None):
    """Translate config.json: a dictionary for `CLIPConfig.from_dict`.

    Raises:
        CheckpointError: a value is of no use; the message names it.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    vision = vision_fields(config, "Siglip", path)
    patch = vision.pair("patch_size")
    return {
        **MODEL,
        "vision": {
            **vision.encoder(),
            **VISION_TOWER,
            "patch_size": patch,
            "image_size": covered(vision.pair("image_size"), patch),
            "position_resize": "bicubic",
            "image": image_config(preprocessor, "SiglipImageProcessor", SIGLIP, path),
        },
        "text": text_from(config, "Siglip", path),
    }


def vision_fields(config, kind, path):
    """Return the Fields of the image tower; `kind` begins the names of transformers' classes.

    Raises:
        CheckpointError: it has no head.
    """
    values = config.get("vision_config") or {}
    fields = Fields(
        values, DEFAULTS[f"{kind}VisionConfig"], f"{path}: vision_config in config.json"
    )
    if not fields.get("vision_use_head"):
        raise CheckpointError(f"{path}: an image tower without its head makes no two-tower model.")
    return fields


def text_from(config, kind, path):
    """Translate `text_config`: a dictionary for `TextConfig`; `kind` as of `vision_fields`."""
    values = config.get("text_config") or {}
    text = Fields(values, DEFAULTS[f"{kind}TextConfig"], f"{path}: text_config in config.json")
    vocabulary = text.integer("vocab_size")
    return {
        **text.encoder(),
        **TEXT_TOWER,
        "vocabulary_size": vocabulary,
        "context_length": text.integer("max_position_embeddings"),
        "pad_token_id": pad_token_id(vocabulary, text.get("pad_token_id")),
        "projection_dim": text.get("projection_size") or text.integer("hidden_size"),
    }


def config_to(config):
    """Return {file name: content} of the JSON files that belong to the tensors."""
    vision = config["vision"]
    (height, width), (patch, across) = vision["image_size"], vision["patch_size"]
    if height != width or patch != across:
        raise CheckpointError(f"SiglipModel has square pictures only, not {height} x {width}.")
    return {
        "config.json": {
            "architectures": ["SiglipModel"],
            "model_type": "siglip",
            "vision_config": {
                "model_type": "siglip_vision_model",
                **encoder_fields(vision),
                "image_size": height,
                "patch_size": patch,
                "vision_use_head": True,
            },
            "text_config": {"model_type": "siglip_text_model", **text_to(config["text"])},
        },
        "preprocessor_config.json": preprocessor_config(vision, "SiglipImageProcessor"),
    }


def text_to(text):
    """Return `text_config` of a text tower's configuration."""
    return {
        **encoder_fields(text),
        "vocab_size": text["vocabulary_size"],
        "max_position_embeddings": text["context_length"],
        "projection_size": text["projection_dim"],
        "pad_token_id": text["pad_token_id"],
        "bos_token_id": None,
        "eos_token_id": END,
    }


def covered(image_size, patch_size):
    """The part of a picture that whole patches cover: 378 of 384 pixels with patches of 14.

    The original code cuts the rest off at the right and below; timm's corrected models, as this,
    resize the picture to what is covered.
    """
    return tuple(i // p * p for i, p in zip(image_size, patch_size, strict=True))


def pad_token_id(vocabulary_size, stored=None):
    """The id that fills rows up. SigLIP 2's configurations leave it out, and its default is wrong.

    Args:
        vocabulary_size: int.
        stored: int or None. What the configuration says.
    """
    if stored is not None:
        return stored
    return GEMMA_PAD if vocabulary_size == GEMMA_SIZE else END


def encoder_fields(config):
    """Return the fields that image and text encoders share, by transformers' names."""
    return {
        "hidden_size": config["hidden_dim"],
        "num_hidden_layers": config["num_layers"],
        "num_attention_heads": config["num_heads"],
        "intermediate_size": config["mlp_dim"],
        "hidden_act": ACTIVATION_NAMES[config["activation"]],
        "layer_norm_eps": config["epsilon"],
    }
