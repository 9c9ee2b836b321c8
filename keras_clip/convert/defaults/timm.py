"""What timm's names of models stand for, and what it assumes where config.json is silent."""

import re
from fnmatch import fnmatchcase

from keras_clip.convert.defaults.pictures import HALF_NORM, IMAGENET_NORM, OPENAI_NORM

# The names that are read. Other parts, such as `rpn` and `xp`, stand for blocks that compute
# something else.
NAME = re.compile(
    r"((vit|deit|deit3|eva|flexivit)_(?P<size>[a-z0-9]+)|(?P<test>test_vit))(_distilled)?(_patch\d+)?"
    r"(_(clip|quickgelu|siglip|gap|map|plus|reg\d+|dinov2|tipsv2|miil|36x1|\d{3}))*"
)
# Numbers of heads: by the size in a name, and the width.
HEADS = {
    **{("tiny", 192): 3, ("wee", 256): 4, ("xsmall", 256): 4, ("little", 320): 5},
    **{("small", 384): 6, ("medium", 512): 8, ("mediumd", 512): 8, ("betwixt", 640): 10},
    **{("base", 768): 12, ("base", 896): 14, ("so150m2", 832): 13, ("so150m", 896): 14},
    **{("large", 1024): 16, ("so400m", 1152): 16, ("huge", 1280): 16, ("giant", 1408): 16},
    **{("giant", 1536): 24, ("giantopt", 1536): 16, ("gigantic", 1664): 16},
    ("test_vit", 64): 2,
}
# Of SigLIP's image towers, by their sizes alone.
SIGLIP_HEADS = {"base": 12, "large": 16, "so400m": 16, "giantopt": 16}
# The only one whose size does not tell.
ODD_HEADS = {"vit_base_patch16_gap_224": 16}
# A family stands for the model that everybody means, at any width of these.
FAMILIES = {
    "vit": "vit_base_patch16_224",
    "deit": "deit_base_patch16_224",
    "dinov2": "vit_base_patch14_dinov2",
}
USUAL_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1536: 24}
_TANH = re.compile(
    r"vit_(base_patch32_siglip|large_patch16_siglip(_gap)?_512|so400m_patch16_siglip|giantopt)"
)
_SWIGLU = re.compile(r"vit_giant_\w+_(dinov2|tipsv2)")
_NO_PREFIX_POSITIONS = re.compile(r"deit3_|flexivit_|vit_(?!so150m)\w+_reg\d")

# Where a `pretrained_cfg` lacks a field.
PICTURES = {
    **IMAGENET_NORM,
    **{"interpolation": "bicubic", "crop_pct": 0.875, "crop_mode": "center"},
}
_NO_NORM = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
# Where there is none: that of the weights which timm fetches for the name. (names, norm, crop_pct,
# crop_mode); the first that matches holds.
_PICTURES_BY_NAME = (
    ("*_tipsv2", _NO_NORM, 1.0, "center"),
    ("vit_base_patch16_224_miil", _NO_NORM, 0.875, "center"),
    ("vit_large_patch14_clip_224", HALF_NORM, 1.0, "center"),
    ("vit_large_patch14_clip_336", HALF_NORM, 1.0, "squash"),
    ("vit_base_patch16_clip_224", OPENAI_NORM, 0.95, "center"),
    ("vit_base_patch32_clip_224 vit_base_patch32_clip_quickgelu_224", OPENAI_NORM, 0.9, "center"),
    ("vit_betwixt_*_clip_* vit_medium_*_clip_* vit_xsmall_*_clip_*", OPENAI_NORM, 0.9, "center"),
    ("vit_base_patch16_clip_384 vit_gigantic_*_clip_378", OPENAI_NORM, 1.0, "squash"),
    ("vit_huge_*_clip_336 eva_large_patch14_336", OPENAI_NORM, 1.0, "squash"),
    ("vit_*_clip_* eva_large_patch14_196", OPENAI_NORM, 1.0, "center"),
    ("deit*_384 vit_*_dinov2 vit_huge_patch16_gap_448", IMAGENET_NORM, 1.0, "center"),
    ("deit*_224 vit_giant_*_gap_224 vit_huge_*_gap_224", IMAGENET_NORM, 0.9, "center"),
    ("vit_small_patch8_224", IMAGENET_NORM, 0.9, "center"),
    ("vit_so400m_patch14_siglip_384 vit_so400m_patch14_siglip_gap_224", HALF_NORM, 0.9, "center"),
    ("vit_so400m_patch14_siglip_gap_378", HALF_NORM, 0.9, "center"),
    ("vit_so400m_patch14_siglip_gap_*", HALF_NORM, 1.0, "center"),
    ("vit_*_siglip_* vit_base_patch16_reg4_gap_256", HALF_NORM, 0.9, "center"),
    ("vit_so150m_*_map_256", HALF_NORM, 0.9, "center"),
    ("vit_medium_patch16_gap_384", HALF_NORM, 0.95, "squash"),
    ("vit_so150m2_*_448", HALF_NORM, 1.0, "squash"),
    ("vit_so150m2_* vit_*_384", HALF_NORM, 1.0, "center"),
    ("flexivit_* test_vit vit_*_plus_* vit_*_gap_240 vit_*_gap_256", HALF_NORM, 0.95, "center"),
    ("vit_*_224", HALF_NORM, 0.9, "center"),
)


def activation(name):
    """Return the name of a model's activation."""
    if _SWIGLU.match(name):
        return "swiglu"
    return "quick_gelu" if "quickgelu" in name else "gelu_tanh" if _TANH.match(name) else "gelu"


def epsilon(name):
    """Return the epsilon of every layer norm of a model."""
    return 1e-5 if "_clip_" in name else 1e-6


def has_prefix_positions(name):
    """Whether class and register tokens have positions, where there are any."""
    return not _NO_PREFIX_POSITIONS.match(name)


def pictures(name):
    """Return the treatment of pictures that a name alone stands for, by timm's names, or None."""
    for names, norm, crop_pct, crop_mode in _PICTURES_BY_NAME:
        if any(fnmatchcase(name, one) for one in names.split()):
            interpolation = "bilinear" if name.endswith("_miil") else "bicubic"
            values = {"interpolation": interpolation, "crop_pct": crop_pct, "crop_mode": crop_mode}
            return {**norm, **values}
    return None
