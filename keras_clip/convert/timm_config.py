"""What timm's model names mean, and its config.json, both ways."""

import math

from keras_clip.convert.defaults import timm as defaults
from keras_clip.convert.defaults.pictures import TIMM
from keras_clip.convert.errors import CheckpointError

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
        stated = config.get("architecture")
        # A family means the model that everybody means by it.
        self.is_family = isinstance(stated, str) and stated in defaults.FAMILIES
        self.name = defaults.FAMILIES[stated] if self.is_family else stated
        # Older files have no section.
        self.pretrained = config.get("pretrained_cfg") or config
        self.arguments = config.get("model_args") or {}
        self.pool = self.arguments.get("global_pool", config.get("global_pool"))
        self._labels = config.get("label_names") or self.pretrained.get("label_names")
        unknown = sorted(set(self.arguments) - ARGUMENTS)
        if unknown:
            raise CheckpointError(f"{path}: config.json: model_args has {unknown}, not read here.")
        match = defaults.NAME.fullmatch(self.name) if isinstance(self.name, str) else None
        self._size = match and (match["size"] or match["test"])
        if self._size not in {size for size, _ in defaults.HEADS}:
            raise CheckpointError(
                f"{path}: config.json: architecture is {self.name!r}, which is not known here. For "
                "a plain ViT of a usual width give family='vit', 'deit' or 'dinov2'; for others "
                "the number of heads under a known name: "
                "config={'architecture': 'vit_base_patch16_224', 'model_args': {'num_heads': 12}}."
            )

    def num_heads(self, width):
        """Return the number of heads of a model of this width."""
        stated = self.arguments.get("num_heads") or defaults.ODD_HEADS.get(self.name)
        usual = defaults.USUAL_HEADS if self.is_family else {}
        heads = stated or usual.get(width) or defaults.HEADS.get((self._size, width))
        if type(heads) is not int or heads < 1 or width % heads:
            raise CheckpointError(
                f"{self.path}: config.json: {self.name} of width {width} has no known number of "
                "heads: add it, as model_args={'num_heads': N}, a divisor of the width."
            )
        return heads

    @property
    def activation(self):
        """Name of the activation."""
        usual = defaults.activation(self.name)
        if usual == "swiglu":
            return usual
        activation = self.arguments.get("act_layer") or usual
        if activation not in ACTIVATIONS:
            raise CheckpointError(
                f"{self.path}: config.json: act_layer is {activation!r}, known are {ACTIVATIONS}."
            )
        return activation

    @property
    def epsilon(self):
        """Of every layer norm."""
        return defaults.epsilon(self.name)

    def position_rows(self, prefix, registers):
        """Return how many rows of a table of positions these tokens may have, as a tuple."""
        tokens, without = prefix + registers, self.arguments.get("no_embed_class")
        if prefix == 2 or without is False:
            return (tokens,)
        # A family's registers are those of DINOv2.
        named = not defaults.has_prefix_positions(self.name) or (self.is_family and registers)
        return (0,) if without or named or not tokens else (tokens, 0)

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
        """Return a dictionary for `ImageConfig`."""
        fields = defaults.PICTURES
        stated = {n: v for n, v in self.pretrained.items() if n in fields and v is not None}
        usual = fields if stated else defaults.pictures(self.name)
        if usual is None:
            raise CheckpointError(
                f"{self.path}: config.json: how pictures become pixels is not known of "
                f"{self.name}: add it, as pretrained_cfg with {', '.join(fields)}."
            )
        values = {**usual, **stated}
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
            **TIMM,
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
        "crop_pct": _crop_pct(config),
        "crop_mode": modes[image["resize_mode"]],
        "mean": list(image["mean"]),
        "std": list(image["std"]),
        "num_classes": config["num_classes"],
        "pool_size": None,
        "first_conv": "patch_embed.proj",
        "classifier": ["head", "head_dist"] if config["use_distillation_head"] else "head",
    }


def _crop_pct(config):
    """The share that timm divides a size by, and rounds down without further ado."""
    sizes, share = config["image_size"], config["image"]["crop_fraction"]
    scaled = [math.floor(side / share + 1e-6) for side in sizes]
    if [math.floor(side / share) for side in sizes] == scaled:
        return share
    return min(side / large for side, large in zip(sizes, scaled, strict=True))
