"""Values of transformers' config.json and preprocessor_config.json, with its defaults."""

import math

from keras_clip.convert.errors import CheckpointError

ACTIVATIONS = {
    "gelu": "gelu",
    "quick_gelu": "quick_gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
}
ACTIVATION_NAMES = {
    "gelu": "gelu",
    "quick_gelu": "quick_gelu",
    "gelu_tanh": "gelu_pytorch_tanh",
}
# PIL's numbers of resampling filters.
INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}


class Fields:
    """The fields of one configuration, checked as they are taken.

    Args:
        values: dictionary of the file.
        defaults: dictionary of what transformers assumes where a field is left out.
        where: str. File and section, for messages.
    """

    def __init__(self, values, defaults, where):
        self._values = {**defaults, **values}
        self._where = where

    def get(self, name):
        """Return a field as it is, or None."""
        return self._values.get(name)

    def integer(self, name):
        """Return a positive whole number."""
        value = self.get(name)
        if type(value) is not int or value < 1:
            raise self._error(name, "a positive whole number")
        return value

    def token_id(self, name):
        """Return a token id, which may come as a list of one."""
        value = self.get(name)
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        if type(value) is not int or value < 0:
            raise self._error(name, "one token id")
        return value

    def pair(self, name):
        """Return (height, width) of a size that is a number or two."""
        value = self.get(name)
        pair = (value, value) if isinstance(value, int) else tuple(value or ())
        if len(pair) != 2 or any(type(size) is not int or size < 1 for size in pair):
            raise self._error(name, "a positive whole number or two of them")
        return pair

    def choice(self, name, choices):
        """Return what a field's value stands for, by a dictionary."""
        if not isinstance(self.get(name), str) or self.get(name) not in choices:
            raise self._error(name, f"one of {sorted(choices)}")
        return choices[self.get(name)]

    def encoder(self):
        """Return the fields that image and text encoders share, by our names."""
        hidden, heads = self.integer("hidden_size"), self.integer("num_attention_heads")
        if hidden % heads:
            raise self._error("num_attention_heads", f"a divisor of hidden_size={hidden}")
        epsilon = self.get("layer_norm_eps")
        if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or epsilon < 0:
            raise self._error("layer_norm_eps", "a number of at least 0")
        return {
            "hidden_dim": hidden,
            "num_layers": self.integer("num_hidden_layers"),
            "num_heads": heads,
            "mlp_dim": self.integer("intermediate_size"),
            "activation": self.choice("hidden_act", ACTIVATIONS),
            "epsilon": float(epsilon),
        }

    def picture(self):
        """Return patch and image size, (height, width) each."""
        if self.get("num_channels") != 3:
            raise self._error("num_channels", "3")
        sizes = {name: self.pair(name) for name in ("patch_size", "image_size")}
        if any(i % p for i, p in zip(sizes["image_size"], sizes["patch_size"], strict=True)):
            raise self._error("image_size", f"divisible by patch_size={sizes['patch_size']}")
        return sizes

    def _error(self, name, wanted):
        return CheckpointError(f"{self._where}: {name} is {self.get(name)!r}, expected {wanted}.")


def image_config(preprocessor, defaults, path="the checkpoint"):
    """Translate preprocessor_config.json: a dictionary for `ImageConfig`.

    The size is the model's, not this file's.

    Args:
        preprocessor: dictionary of the file, or None where there is none.
        defaults: what holds where the file is silent, and what it cannot say.
        path: of the checkpoint, for messages.

    Raises:
        CheckpointError: a filter that is neither bilinear nor bicubic, or means that are not 3.
    """
    values = preprocessor or {}
    image = dict(defaults)
    for ours, theirs in (("mean", "image_mean"), ("std", "image_std")):
        if values.get(theirs) is not None:
            if len(values[theirs]) != 3:
                raise CheckpointError(
                    f"{path}: preprocessor_config.json: {theirs} has {len(values[theirs])} values, "
                    "expected 3 (red, green, blue)."
                )
            image[ours] = tuple(float(value) for value in values[theirs])
    resample = values.get("resample")
    if resample is not None:
        if resample not in INTERPOLATIONS:
            raise CheckpointError(
                f"{path}: preprocessor_config.json: resample is {resample!r}, expected 2 "
                "(bilinear) or 3 (bicubic)."
            )
        image["interpolation"] = INTERPOLATIONS[resample]
    if values.get("do_normalize") is False:
        image["mean"], image["std"] = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if "height" in _size(values):
        image["resize_mode"] = "squash"
    elif values.get("do_center_crop") or "shortest_edge" in _size(values):
        image["resize_mode"] = "shortest"
    image["crop_fraction"] = _crop_fraction(values)
    return image


def preprocessor_config(config, kind):
    """Return preprocessor_config.json of a vision configuration.

    Args:
        config: dictionary of a ViTConfig.
        kind: str. transformers' class, such as `CLIPImageProcessor`.
    """
    image = config["image"]
    height, width = config["image_size"]
    scaled = [math.floor(side / image["crop_fraction"] + 1e-6) for side in (height, width)]
    shortest, crops = image["resize_mode"] == "shortest", image["crop_fraction"] < 1
    if kind == "ViTImageProcessor" and (shortest or crops):  # which only squashes
        kind = "BitImageProcessor" if shortest else "DeiTImageProcessor"
    numbers = {name: number for number, name in INTERPOLATIONS.items()}
    values = {
        "image_processor_type": kind,
        "do_resize": True,
        "size": {"shortest_edge": min(scaled)}
        if shortest
        else {"height": scaled[0], "width": scaled[1]},
        "resample": numbers[image["interpolation"]],
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(image["mean"]),
        "image_std": list(image["std"]),
    }
    if kind == "CLIPImageProcessor":
        values["do_convert_rgb"] = True
    if kind != "ViTImageProcessor":
        values["do_center_crop"] = shortest or crops
        values["crop_size"] = {"height": height, "width": width}
    return values


def _size(values):
    size = values.get("size")
    return size if isinstance(size, dict) else {}


def _crop_fraction(values):
    """How much of the scaled picture the crop keeps; the model's own size may be another."""
    scaled = _size(values).get("shortest_edge") or _size(values).get("height")
    crop = values.get("crop_size")
    crop = crop.get("height") if isinstance(crop, dict) else crop
    if not values.get("do_center_crop") or not (type(scaled) is type(crop) is int):
        return 1.0
    return crop / scaled if 0 < crop < scaled else 1.0
