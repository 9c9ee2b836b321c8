"""What timm's model names mean, and its config.json, both ways."""

import math
import re

from keras_clip.convert.errors import CheckpointError

# Numbers of heads stand in timm's code only: by the size in a name, and the width.
HEADS = {
    **{("tiny", 192): 3, ("wee", 256): 4, ("xsmall", 256): 4, ("little", 320): 5},
    **{("small", 384): 6, ("medium", 512): 8, ("mediumd", 512): 8, ("betwixt", 640): 10},
    **{("base", 768): 12, ("base", 896): 14, ("so150m2", 832): 13, ("so150m", 896): 14},
    **{("large", 1024): 16, ("so400m", 1152): 16, ("huge", 1280): 16, ("giant", 1408): 16},
    **{("giant", 1536): 24, ("giantopt", 1536): 16, ("gigantic", 1664): 16},
    ("test_vit", 64): 2,
}
# Of a family as such, where no size is named: those of the models that everybody means.
USUAL_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1536: 24}
FAMILIES = ("vit", "deit", "dinov2")
# The only one whose size does not tell.
ODD_HEADS = {"vit_base_patch16_gap_224": 16}
# Other parts of a name, such as `rpn` and `xp`, stand for blocks that compute something else.
NAME = re.compile(
    r"((vit|deit|deit3|eva|flexivit)_(?P<size>[a-z0-9]+)|(?P<test>test_vit))(_distilled)?(_patch\d+)?"
    r"(_(clip|quickgelu|siglip|gap|map|plus|reg\d+|dinov2|tipsv2|miil|36x1|\d{3}))*"
)
TANH = re.compile(
    r"vit_(base_patch32_siglip|large_patch16_siglip(_gap)?_512|so400m_patch16_siglip|giantopt)"
)
SWIGLU = re.compile(r"vit_giant_\w+_(dinov2|tipsv2)")
ACTIVATIONS = ("gelu", "gelu_tanh", "quick_gelu")
# Arguments that the tensors show, and those that matter in training only.
ARGUMENTS = {
    *("img_size", "patch_size", "in_chans", "num_classes", "embed_dim", "depth", "num_heads"),
    *("mlp_ratio", "qkv_bias", "init_values", "class_token", "no_embed_class", "reg_tokens"),
    *("pre_norm", "final_norm", "fc_norm", "global_pool", "act_layer"),
    *("dynamic_img_size", "strict_img_size", "weight_init", "fix_init", "drop_rate"),
    *("drop_path_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate", "attn_drop_rate"),
}
POOLINGS = {"token": "class_token", "avg": "mean", "map": "attention"}
RESIZE_MODES = {"center": "shortest", "squash": "squash"}
INTERPOLATIONS = ("bicubic", "bilinear")
# What timm assumes where a configuration is silent.
IMAGE = {
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "interpolation": "bicubic",
    "crop_pct": 0.875,
    "crop_mode": "center",
}


class Description:
    """What a config.json of timm says of a model.

    Args:
        config: dictionary of the file, or None.
        path: of the checkpoint, for messages.

    Raises:
        CheckpointError: the architecture, or an argument of it, is not known.
    """

    def __init__(self, config, path):
        config = config or {}
        self.path = path
        self.name = config.get("architecture")
        # Older files have no section.
        self.pretrained = config.get("pretrained_cfg") or config
        self.arguments = config.get("model_args") or {}
        self.pool = self.arguments.get("global_pool", config.get("global_pool"))
        self._labels = config.get("label_names") or self.pretrained.get("label_names")
        unknown = sorted(set(self.arguments) - ARGUMENTS)
        if unknown:
            raise CheckpointError(f"{path}: config.json: model_args has {unknown}, not read here.")
        match = NAME.fullmatch(self.name) if isinstance(self.name, str) else None
        self._size = match and (match["size"] or match["test"])
        if self._size not in {size for size, _ in HEADS} and self.name not in FAMILIES:
            raise CheckpointError(
                f"{path}: config.json: architecture is {self.name!r}, which is not known here. For "
                "a plain ViT of a usual width give family='vit', 'deit' or 'dinov2'; for others "
                "the number of heads under a known name: "
                "config={'architecture': 'vit_base_patch16_224', 'model_args': {'num_heads': 12}}."
            )

    def num_heads(self, width):
        """Return the number of heads of a model of this width."""
        stated = self.arguments.get("num_heads") or ODD_HEADS.get(self.name)
        usual = USUAL_HEADS if self.name in FAMILIES else {}
        heads = stated or HEADS.get((self._size, width)) or usual.get(width)
        if type(heads) is not int or heads < 1 or width % heads:
            raise CheckpointError(
                f"{self.path}: config.json: {self.name} of width {width} has no known number of "
                "heads: add it, as model_args={'num_heads': N}, a divisor of the width."
            )
        return heads

    @property
    def activation(self):
        """Name of the activation."""
        if SWIGLU.match(self.name):
            return "swiglu"
        usual = "quick_gelu" if "quickgelu" in self.name else "gelu"
        usual = "gelu_tanh" if TANH.match(self.name) else usual
        activation = self.arguments.get("act_layer") or usual
        if activation not in ACTIVATIONS:
            raise CheckpointError(
                f"{self.path}: config.json: act_layer is {activation!r}, known are {ACTIVATIONS}."
            )
        return activation

    @property
    def epsilon(self):
        """Of every layer norm."""
        return 1e-5 if "_clip_" in self.name else 1e-6

    @property
    def image_size(self):
        """(height, width) as stated, or None."""
        size = self.arguments.get("img_size") or (self.pretrained.get("input_size") or ())[1:]
        size = (size, size) if isinstance(size, int) else tuple(size)
        return size if len(size) == 2 and all(type(side) is int for side in size) else None

    @property
    def head_activation(self):
        """`softmax`, unless the head is CLIP's projection."""
        tag = self.pretrained.get("tag")
        return None if "_clip_" in self.name and tag and "_ft_" not in tag else "softmax"

    def labels(self, num_classes):
        """Return the names of all classes, or None."""
        names = self._labels or ()
        if isinstance(names, dict):
            names = [names.get(str(i)) for i in range(num_classes)]
        return tuple(names) if len(names) == num_classes and all(names) else None

    def image(self):
        """Return a dictionary for `ImageConfig`; timm crops as torchvision does."""
        stated = {n: v for n, v in self.pretrained.items() if n in IMAGE and v is not None}
        values = {**IMAGE, **stated}
        for name, choices in (("crop_mode", RESIZE_MODES), ("interpolation", INTERPOLATIONS)):
            if values[name] not in choices:
                raise CheckpointError(
                    f"{self.path}: config.json: {name} is {values[name]!r}, known are "
                    f"{', '.join(choices)}."
                )
        return {
            "mean": tuple(values["mean"]),
            "std": tuple(values["std"]),
            "resize_mode": RESIZE_MODES[values["crop_mode"]],
            "interpolation": values["interpolation"],
            "crop_fraction": values["crop_pct"],
            "crop": "openai",
            "color": "first",
        }


def model_config(config):
    """Return config.json of a ViT's configuration: an architecture, and all that differs from it.

    Raises:
        CheckpointError: timm has no such model.
    """
    prefix, registers = config["num_prefix_tokens"], config["num_register_tokens"]
    positions = config["use_prefix_positions"]
    heads = bool(config["num_classes"]) + config["use_distillation_head"]
    places = {ours: theirs for theirs, ours in POOLINGS.items()}
    problems = {
        f"pooling={config['pooling']!r}": config["pooling"] not in places,
        "registers behind tokens with positions": prefix and registers and positions,
        "a second prefix token without a position": prefix == 2 and not positions,
        "a second prefix token without a head": prefix == 2 and heads == 1,
        "a bias of the patches and a norm behind them, or neither": config["use_patch_bias"]
        == config["use_norm_pre"],
    }
    for problem, found in problems.items():
        if found:
            raise CheckpointError(f"timm has no ViT with {problem}.")
    values = {
        "architecture": _architecture(config),
        "num_classes": config["num_classes"],
        "num_features": config["hidden_dim"],
        "global_pool": places[config["pooling"]],
        "model_args": _arguments(config, places[config["pooling"]]),
        "pretrained_cfg": _pretrained(config),
    }
    if config["labels"]:
        values["label_names"] = list(config["labels"])
    return values


def _architecture(config):
    """The name that stands for what no argument says."""
    if config["num_prefix_tokens"] == 2:
        return "deit_base_distilled_patch16_224"
    if config["activation"] == "swiglu":
        return "vit_giant_patch14_dinov2"
    return f"vit_base_patch16_{'clip_' if config['epsilon'] == 1e-5 else ''}224"


def _arguments(config, pool):
    swiglu, width = config["activation"] == "swiglu", config["hidden_dim"]
    wide = config["mlp_dim"] * (2 if swiglu else 1)
    # timm rounds the product down.
    ratio = wide / width
    values = {
        "img_size": list(config["image_size"]),
        "patch_size": list(config["patch_size"]),
        "embed_dim": width,
        "depth": config["num_layers"],
        "num_heads": config["num_heads"],
        "mlp_ratio": ratio if int(width * ratio) == wide else math.nextafter(ratio, math.inf),
        "qkv_bias": config["use_qkv_bias"],
        "init_values": config["layer_scale"],
        "class_token": config["num_prefix_tokens"] > 0,
        # timm means registers too, which never have positions here.
        "no_embed_class": not (config["num_prefix_tokens"] and config["use_prefix_positions"]),
        "reg_tokens": config["num_register_tokens"],
        "pre_norm": config["use_norm_pre"],
        "final_norm": config["final_norm"] is not None,
        "fc_norm": config["final_norm"] == "pooled",
        "global_pool": pool,
    }
    if not swiglu:
        values["act_layer"] = config["activation"]
    return values


def _pretrained(config):
    image = config["image"]
    modes = {ours: theirs for theirs, ours in RESIZE_MODES.items()}
    return {
        "input_size": [3, *config["image_size"]],
        "fixed_input_size": True,
        "interpolation": image["interpolation"],
        "crop_pct": image["crop_fraction"],
        "crop_mode": modes[image["resize_mode"]],
        "mean": list(image["mean"]),
        "std": list(image["std"]),
        "num_classes": config["num_classes"],
        "pool_size": None,
        "first_conv": "patch_embed.proj",
        "classifier": ["head", "head_dist"] if config["use_distillation_head"] else "head",
    }
