"""The ViT directories of transformers: config.json and tensors as in ViTForImageClassification."""

from keras_clip.convert.defaults.huggingface import MODELS as DEFAULTS
from keras_clip.convert.defaults.pictures import VIT
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.huggingface_config import ACTIVATION_NAMES, Fields
from keras_clip.convert.huggingface_images import image_config, preprocessor_config
from keras_clip.convert.naming import shape_of
from keras_clip.convert.table import Row, Table, over_layers, under
from keras_clip.convert.transforms import BATCHED, CONV, LINEAR, part

FAMILY = "vit"

BLOCK = (
    Row("layernorm_before.weight", "norm1/gamma"),
    Row("layernorm_before.bias", "norm1/beta"),
    Row("attention.attention.query.weight", "attention/qkv/kernel", part(0, 3, LINEAR)),
    Row("attention.attention.key.weight", "attention/qkv/kernel", part(1, 3, LINEAR)),
    Row("attention.attention.value.weight", "attention/qkv/kernel", part(2, 3, LINEAR)),
    Row("attention.attention.query.bias", "attention/qkv/bias", part(0, 3)),
    Row("attention.attention.key.bias", "attention/qkv/bias", part(1, 3)),
    Row("attention.attention.value.bias", "attention/qkv/bias", part(2, 3)),
    Row("attention.output.dense.weight", "attention/out/kernel", LINEAR),
    Row("attention.output.dense.bias", "attention/out/bias"),
    Row("layernorm_after.weight", "norm2/gamma"),
    Row("layernorm_after.bias", "norm2/beta"),
    Row("intermediate.dense.weight", "mlp/fc1/kernel", LINEAR),
    Row("intermediate.dense.bias", "mlp/fc1/bias"),
    Row("output.dense.weight", "mlp/fc2/kernel", LINEAR),
    Row("output.dense.bias", "mlp/fc2/bias"),
)
OUTSIDE = (
    Row("embeddings.patch_embeddings.projection.weight", "patch_embedding/kernel", CONV),
    Row("embeddings.patch_embeddings.projection.bias", "patch_embedding/bias"),
    Row("embeddings.cls_token", "class_token/tokens", BATCHED),
    Row("embeddings.position_embeddings", "position_embedding/embeddings", BATCHED),
    Row("layernorm.weight", "norm/gamma"),
    Row("layernorm.bias", "norm/beta"),
)
HEAD = (
    Row("classifier.weight", "head/kernel", LINEAR),
    Row("classifier.bias", "head/bias"),
)
# The pooler feeds neither the logits nor the tokens; the mask token serves pretraining only.
IGNORE = ("pooler.dense.*", "embeddings.mask_token")

# What of config.json says what the head is for.
HEAD_FIELDS = ("id2label", "problem_type")
# What transformers' pipeline applies to the logits of each kind of problem.
ACTIVATIONS = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": None,
}


def table(config, names=None):
    """Return the Table of a ViT.

    Args:
        config: as of `config_from`.
        names: of the file that is read, which has the prefix `vit.` or not; None: to write.
    """
    prefix = _prefix(names) if names else ("vit." if config["num_classes"] else "")
    block = BLOCK
    if not config["use_qkv_bias"]:
        block = tuple(row for row in BLOCK if row.target != "attention/qkv/bias")
    rows = under(OUTSIDE, prefix)
    rows += over_layers(block, prefix + "encoder.layer.{i}.", "block_{i}/", config["num_layers"])
    if config["num_classes"]:
        rows += HEAD
    return Table(rows, tuple(prefix + name for name in IGNORE))


def matches(names, config=None):
    """Tell whether this is a ViT, by its configuration."""
    return (config or {}).get("model_type") == "vit"


def config_from(checkpoint, config, preprocessor=None, image_size=None):
    """Translate config.json: a dictionary for `ViTConfig.from_dict`.

    Raises:
        CheckpointError: a value is of no use; the message names it.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    fields = Fields(config, DEFAULTS["ViTConfig"], f"{path}: config.json")
    values = {
        **fields.encoder(),
        **fields.picture(),
        "use_qkv_bias": bool(fields.get("qkv_bias")),
        "position_resize": "bicubic",
        "num_classes": 0,
        "image": image_config(preprocessor, "ViTImageProcessor", VIT, path),
    }
    if "classifier.weight" in checkpoint:
        values["num_classes"] = shape_of(checkpoint, "classifier.weight", rank=2)[0]
        values["labels"] = _labels(config.get("id2label"), values["num_classes"], path)
        values["head_activation"] = _activation(config, values["num_classes"], path)
    return values


def config_to(config):
    """Return {file name: content} of the JSON files that belong to the tensors."""
    classes = config["num_classes"]
    labels = config["labels"] or [f"LABEL_{i}" for i in range(classes)]
    values = {
        "architectures": ["ViTForImageClassification" if classes else "ViTModel"],
        "model_type": "vit",
        "hidden_size": config["hidden_dim"],
        "num_hidden_layers": config["num_layers"],
        "num_attention_heads": config["num_heads"],
        "intermediate_size": config["mlp_dim"],
        "hidden_act": ACTIVATION_NAMES[config["activation"]],
        "layer_norm_eps": config["epsilon"],
        "image_size": list(config["image_size"]),
        "patch_size": list(config["patch_size"]),
        "num_channels": 3,
        "qkv_bias": config["use_qkv_bias"],
    }
    for name in ("image_size", "patch_size"):
        if values[name][0] == values[name][1]:
            values[name] = values[name][0]
    if classes:
        values["id2label"] = {str(i): label for i, label in enumerate(labels)}
        values["label2id"] = {label: i for i, label in enumerate(labels)}
        kinds = {activation: kind for kind, activation in ACTIVATIONS.items()}
        if config["head_activation"] != "softmax":
            values["problem_type"] = kinds[config["head_activation"]]
    return {
        "config.json": values,
        "preprocessor_config.json": preprocessor_config(config, "ViTImageProcessor"),
    }


def _prefix(names):
    return "vit." if any(name.startswith("vit.") for name in names) else ""


def _labels(id2label, num_classes, path):
    if not id2label:
        return None
    try:
        return tuple(id2label[str(i)] for i in range(num_classes))
    except KeyError as error:
        raise CheckpointError(
            f"{path}: config.json: id2label has no {error}, but 'classifier.weight' has "
            f"{num_classes} classes."
        ) from None


def _activation(config, num_classes, path):
    """What transformers' pipeline makes of the logits; of a single one, a sigmoid."""
    kind = config.get("problem_type")
    if kind is not None and kind not in ACTIVATIONS:
        raise CheckpointError(
            f"{path}: config.json: problem_type is {kind!r}, known are {list(ACTIVATIONS)}."
        )
    if num_classes == 1 and kind != "regression":
        return "sigmoid"
    return ACTIVATIONS[kind or "single_label_classification"]
