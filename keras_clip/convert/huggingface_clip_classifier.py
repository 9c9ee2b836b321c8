"""CLIP's image tower with a classifier, as transformers' CLIPForImageClassification stores it."""

from keras_clip.convert import huggingface_clip, huggingface_vit, openai
from keras_clip.convert.huggingface_config import image_config, preprocessor_config
from keras_clip.convert.table import Table, over_layers, under

FAMILY = "vit"

PREFIX = "vision_model."
HEAD = huggingface_vit.HEAD
# The classifier works on the patches before this norm.
UNUSED_NORM = "post_layernorm"


def table(config, names=None):
    """Return the Table of a classifier; `config` as of `config_from`, `names` of no influence."""
    outside = [row for row in huggingface_clip.VISION if not row.source.startswith(UNUSED_NORM)]
    rows = under(outside, PREFIX) + over_layers(
        huggingface_clip.BLOCK, PREFIX + "encoder.layers.{i}.", "block_{i}/", config["num_layers"]
    )
    return Table(rows + HEAD, (f"{PREFIX}{UNUSED_NORM}.*", *huggingface_clip.IGNORE))


def matches(names, config=None):
    """Tell whether this is a CLIPForImageClassification: a classifier instead of the text tower."""
    return (
        (config or {}).get("model_type") in huggingface_clip.MODELS
        and HEAD[0].source in names
        and "text_projection.weight" not in names
    )


def config_from(checkpoint, config, preprocessor=None):
    """Translate config.json: a dictionary for `ViTConfig.from_dict`.

    Raises:
        CheckpointError: a value is of no use; the message names it.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    # Its fields are those of transformers' ViT, the labels stand beside them.
    vision = {**huggingface_clip.VISION_DEFAULTS, **(config.get("vision_config") or {})}
    vision["id2label"] = config.get("id2label")
    return {
        **huggingface_vit.config_from(checkpoint, vision),
        "pooling": "mean",
        "final_norm": None,
        "use_patch_bias": False,
        "use_norm_pre": True,
        "image": image_config(preprocessor, openai.image_config(), path),
    }


def config_to(config):
    """Return {file name: content} of the JSON files that belong to the tensors."""
    vision = huggingface_vit.config_to(config)["config.json"]
    values = {
        "architectures": ["CLIPForImageClassification"],
        "model_type": "clip",
        **{name: vision.pop(name) for name in ("id2label", "label2id") if name in vision},
    }
    return {
        "config.json": {**values, "vision_config": {**vision, "model_type": "clip_vision_model"}},
        "preprocessor_config.json": preprocessor_config(config, "CLIPImageProcessor"),
    }
