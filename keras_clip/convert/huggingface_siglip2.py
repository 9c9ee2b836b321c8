"""SigLIP 2 NaFlex as transformers stores it: a Siglip2Model, pictures of any proportions."""

import math

from keras_clip.convert import huggingface_siglip as siglip
from keras_clip.convert.defaults.huggingface import PROCESSORS
from keras_clip.convert.defaults.pictures import NAFLEX
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.huggingface_images import color_fields, colors, filled
from keras_clip.convert.naming import check_image_tower
from keras_clip.convert.table import Row
from keras_clip.convert.transforms import LINEAR

FAMILY = "clip"

# Patches come cut already: their embedding is a Dense and no convolution.
PATCHES = Row("embeddings.patch_embedding.weight", "patch_embedding/kernel", LINEAR)
VISION = (PATCHES, *siglip.VISION[1:])


def table(config, names=()):
    """Return the Table of a Siglip2Model; `config` as of `config_from`, `names` of no influence.

    Raises:
        CheckpointError: the image tower is of another kind.
    """
    check_image_tower(config, "naflex")
    return siglip.two_towers(config, VISION)


def matches(names, config=None):
    """Tell whether this is a Siglip2Model, by its configuration."""
    return (config or {}).get("model_type") == "siglip2"


def config_from(checkpoint, config, preprocessor=None, image_size=None):
    """Translate config.json: a dictionary for `CLIPConfig.from_dict`.

    Raises:
        CheckpointError: a value is of no use; the message names it.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    vision = siglip.vision_fields(config, "Siglip2", path)
    side = math.isqrt(vision.integer("num_patches"))
    if side * side != vision.integer("num_patches"):
        raise CheckpointError(
            f"{path}: vision_config in config.json: num_patches is {vision.get('num_patches')}, "
            "expected a square number."
        )
    return {
        **siglip.MODEL,
        "vision": {
            **vision.encoder(),
            "patch_size": vision.pair("patch_size"),
            "grid_size": (side, side),
            "image": _image(preprocessor, f"{path}: preprocessor_config.json"),
        },
        "text": siglip.text_from(config, "Siglip2", path),
    }


def config_to(config):
    """Return {file name: content} of the JSON files that belong to the tensors.

    Raises:
        CheckpointError: the grid of positions is not square.
    """
    vision, image = config["vision"], config["vision"]["image"]
    (height, width), patch = vision["grid_size"], vision["patch_size"][0]
    if height != width:
        raise CheckpointError(f"Siglip2Model has a square grid only, not {height} x {width}.")
    return {
        "config.json": {
            "architectures": ["Siglip2Model"],
            "model_type": "siglip2",
            "vision_config": {
                "model_type": "siglip2_vision_model",
                **siglip.encoder_fields(vision),
                "num_patches": height * width,
                "patch_size": patch,
                "vision_use_head": True,
            },
            "text_config": {"model_type": "siglip2_text_model", **siglip.text_to(config["text"])},
        },
        "preprocessor_config.json": {
            "image_processor_type": "Siglip2ImageProcessor",
            "do_convert_rgb": True,
            "do_resize": True,
            **color_fields(image),
            "patch_size": patch,
            "max_num_patches": image["max_patches"],
        },
    }


def _image(preprocessor, where):
    """Translate preprocessor_config.json: a dictionary for `NaFlexImageConfig`."""
    kind = "Siglip2ImageProcessor"
    if preprocessor is None:
        return {**NAFLEX, "max_patches": PROCESSORS[kind]["max_num_patches"]}
    values = filled(preprocessor, kind, where)
    return {**NAFLEX, **colors(values, where), "max_patches": values["max_num_patches"]}
