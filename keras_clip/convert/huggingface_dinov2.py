"""The DINOv2 directories of transformers, with and without register tokens."""

from keras_clip.convert import huggingface_vit
from keras_clip.convert.defaults.huggingface import MODELS as DEFAULTS
from keras_clip.convert.defaults.pictures import DINOV2
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.huggingface_config import Fields
from keras_clip.convert.huggingface_images import image_config
from keras_clip.convert.table import Row, Table, over_layers, under
from keras_clip.convert.transforms import BATCHED, LINEAR

FAMILY = "vit"

BLOCK = (
    Row("norm1.weight", "norm1/gamma"),
    Row("norm1.bias", "norm1/beta"),
    *(row for row in huggingface_vit.BLOCK if row.target.startswith("attention/")),
    Row("layer_scale1.lambda1", "layer_scale1/gamma"),
    Row("norm2.weight", "norm2/gamma"),
    Row("norm2.bias", "norm2/beta"),
    Row("layer_scale2.lambda1", "layer_scale2/gamma"),
)
MLP = (
    Row("mlp.fc1.weight", "mlp/fc1/kernel", LINEAR),
    Row("mlp.fc1.bias", "mlp/fc1/bias"),
    Row("mlp.fc2.weight", "mlp/fc2/kernel", LINEAR),
    Row("mlp.fc2.bias", "mlp/fc2/bias"),
)
SWIGLU = (
    Row("mlp.weights_in.weight", "mlp/fc1/kernel", LINEAR),
    Row("mlp.weights_in.bias", "mlp/fc1/bias"),
    Row("mlp.weights_out.weight", "mlp/fc2/kernel", LINEAR),
    Row("mlp.weights_out.bias", "mlp/fc2/bias"),
)
REGISTERS = (Row("embeddings.register_tokens", "register_tokens/tokens", BATCHED),)
# It hides patches in pretraining only.
IGNORE = ("embeddings.mask_token",)

# How the names of its classes begin.
CLASSES = {"dinov2": "Dinov2", "dinov2_with_registers": "Dinov2WithRegisters"}


def table(config, names=None):
    """Return the Table of a DINOv2.

    Args:
        config: as of `config_from`.
        names: of the file that is read, which has a prefix or not; None: to write.
    """
    prefix = _kind(config) + "." if config["num_classes"] else ""
    if names:
        found = {name.split(".")[0] for name in names} & set(CLASSES)
        prefix = f"{found.pop()}." if found else ""
    block = BLOCK + (SWIGLU if config["activation"] == "swiglu" else MLP)
    if not config["use_qkv_bias"]:
        block = tuple(row for row in block if row.target != "attention/qkv/bias")
    outside = huggingface_vit.OUTSIDE + (REGISTERS if config["num_register_tokens"] else ())
    rows = under(outside, prefix)
    rows += over_layers(block, prefix + "encoder.layer.{i}.", "block_{i}/", config["num_layers"])
    if config["num_classes"]:
        rows += huggingface_vit.HEAD
    return Table(rows, tuple(prefix + name for name in IGNORE))


def matches(names, config=None):
    """Tell whether this is a DINOv2, by its configuration."""
    return (config or {}).get("model_type") in CLASSES


def config_from(checkpoint, config, preprocessor=None, image_size=None):
    """Translate config.json: a dictionary for `ViTConfig.from_dict`.

    Raises:
        CheckpointError: a value is of no use; the message names it.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    kind = CLASSES[config["model_type"]]
    values = {"num_register_tokens": 0, **DEFAULTS[f"{kind}Config"], **config}
    ratio, scale, registers = (
        _number(values, name, path)
        for name in ("mlp_ratio", "layerscale_value", "num_register_tokens")
    )
    swiglu = bool(values["use_swiglu_ffn"])
    wide = int(Fields(values, {}, f"{path}: config.json").integer("hidden_size") * ratio)
    values["intermediate_size"] = _gated(wide) if swiglu else wide
    vit = huggingface_vit.config_from(checkpoint, values)
    return {
        **vit,
        "activation": "swiglu" if swiglu else vit["activation"],
        "num_register_tokens": int(registers),
        "layer_scale": float(scale),
        "pooling": "class_and_mean" if vit["num_classes"] else "class_token",
        "position_resize": "bicubic_antialias" if registers else "bicubic",
        "image": image_config(preprocessor, "BitImageProcessor", DINOV2, path),
    }


def config_to(config):
    """Return {file name: content} of the JSON files that belong to the tensors."""
    kind, swiglu = _kind(config), config["activation"] == "swiglu"
    files = huggingface_vit.config_to({**config, "activation": "gelu"} if swiglu else config)
    model = CLASSES[kind] + ("ForImageClassification" if config["num_classes"] else "Model")
    # transformers takes whole ratios only.
    wide = config["mlp_dim"] * 3 // 2 if swiglu else config["mlp_dim"]
    values = {
        **files["config.json"],
        "architectures": [model],
        "model_type": kind,
        "mlp_ratio": max(round(wide / config["hidden_dim"]), 1),
        "layerscale_value": config["layer_scale"],
        "use_swiglu_ffn": swiglu,
        "use_mask_token": False,
    }
    if config["num_register_tokens"]:
        values["num_register_tokens"] = config["num_register_tokens"]
    del values["intermediate_size"]
    return {**files, "config.json": values}


def _kind(config):
    return "dinov2_with_registers" if config["num_register_tokens"] else "dinov2"


def _gated(width):
    """Two thirds of a width, as a multiple of 8: the gate takes the rest."""
    return (int(width * 2 / 3) + 7) // 8 * 8


def _number(values, name, path):
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise CheckpointError(
            f"{path}: config.json: {name} is {value!r}, expected a number of at least 0."
        )
    return value
