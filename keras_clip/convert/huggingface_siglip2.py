"""SigLIP 2 NaFlex as transformers stores it: a Siglip2Model, pictures of any proportions."""

import math

from keras_clip.convert import huggingface_siglip as siglip
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.huggingface_config import INTERPOLATIONS, image_config
from keras_clip.convert.naming import check_image_tower
from keras_clip.convert.table import Row
from keras_clip.convert.transforms import LINEAR

FAMILY = "clip"

# Patches come cut already: their embedding is a Dense and no convolution.
PATCHES = Row("embeddings.patch_embedding.weight", "patch_embedding/kernel", LINEAR)
VISION = (PATCHES, *siglip.VISION[1:])
VISION_DEFAULTS = {
    **siglip.SHARED_DEFAULTS,
    "num_channels": 3,
    "num_patches": 256,
    "patch_size": 16,
    "vision_use_head": True,
}
IMAGE = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bilinear", "color": "first"}
MAX_PATCHES = 256


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


def config_from(checkpoint, config, preprocessor=None):
    """Translate config.json: a dictionary for `CLIPConfig.from_dict`.

    Raises:
        CheckpointError: a value is of no use; the message names it.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    vision = siglip.vision_fields(config, VISION_DEFAULTS, path)
    side = math.isqrt(vision.integer("num_patches"))
    if side * side != vision.integer("num_patches"):
        raise CheckpointError(
            f"{path}: vision_config in config.json: num_patches is {vision.get('num_patches')}, "
            "expected a square number."
        )
    image = image_config(preprocessor, IMAGE, path)
    return {
        **siglip.MODEL,
        "vision": {
            **vision.encoder(),
            "patch_size": vision.pair("patch_size"),
            "grid_size": (side, side),
            "image": {
                **{name: image[name] for name in IMAGE},
                "max_patches": (preprocessor or {}).get("max_num_patches") or MAX_PATCHES,
            },
        },
        "text": siglip.text_from(config, path),
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
    numbers = {name: number for number, name in INTERPOLATIONS.items()}
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
            "do_resize": True,
            "resample": numbers[image["interpolation"]],
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(image["mean"]),
            "image_std": list(image["std"]),
            "do_convert_rgb": True,
            "patch_size": patch,
            "max_num_patches": image["max_patches"],
        },
    }
