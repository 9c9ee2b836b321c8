"""CLIP's image tower with a classifier, as transformers' CLIPForImageClassification stores it."""

from keras_clip.convert import huggingface_clip, huggingface_vit
from keras_clip.convert.defaults.huggingface import MODELS as DEFAULTS
from keras_clip.convert.defaults.pictures import CLIP
from keras_clip.convert.huggingface_images import image_config, preprocessor_config
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
        (config or {}).get("model_type") in huggingface_clip.CLASSES
        and HEAD[0].source in names
        and "text_projection.weight" not in names
    )


def config_from(checkpoint, config, preprocessor=None, image_size=None):
    """Translate config.json: a dictionary for `ViTConfig.from_dict`.

    Raises:
        CheckpointError: a value is of no use; the message names it.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    # Its fields are those of transformers' ViT, what the head is for stands beside them.
    kind = huggingface_clip.CLASSES[config["model_type"]]
    vision = {**DEFAULTS[f"{kind}VisionConfig"], **(config.get("vision_config") or {})}
    vision.update({name: config.get(name) for name in huggingface_vit.HEAD_FIELDS})
    return {
        **huggingface_vit.config_from(checkpoint, vision),
        "pooling": "mean",
        "final_norm": None,
        "use_patch_bias": False,
        "use_norm_pre": True,
        "image": image_config(preprocessor, "CLIPImageProcessor", CLIP, path),
    }


def config_to(config):
    """Return {file name: content} of the JSON files that belong to the tensors."""
    vision = huggingface_vit.config_to(config)["config.json"]
    values = {
        "architectures": ["CLIPForImageClassification"],
        "model_type": "clip",
        **{n: vision.pop(n) for n in (*huggingface_vit.HEAD_FIELDS, "label2id") if n in vision},
    }
    return {
        "config.json": {**values, "vision_config": {**vision, "model_type": "clip_vision_model"}},
        "preprocessor_config.json": preprocessor_config(config, "CLIPImageProcessor"),
    }
