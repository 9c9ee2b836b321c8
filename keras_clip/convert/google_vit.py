"""Google's ViT as .npz files: the original checkpoints and AugReg, with flax's names."""

from keras_clip.convert.defaults.pictures import GOOGLE
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.naming import shape_of
from keras_clip.convert.position_grid import position_grid
from keras_clip.convert.table import Row, Table, over_layers, under
from keras_clip.convert.transforms import BATCHED, SAME, merge_heads, part, split_heads

FAMILY = "vit"

OUTSIDE = (
    Row("embedding/kernel", "patch_embedding/kernel"),
    Row("embedding/bias", "patch_embedding/bias"),
    Row("cls", "class_token/tokens", BATCHED),
    Row("Transformer/posembed_input/pos_embedding", "position_embedding/embeddings", BATCHED),
    Row("Transformer/encoder_norm/scale", "norm/gamma"),
    Row("Transformer/encoder_norm/bias", "norm/beta"),
)
PRE_LOGITS = (
    Row("pre_logits/kernel", "pre_logits/kernel"),
    Row("pre_logits/bias", "pre_logits/bias"),
)
HEAD = (Row("head/kernel", "head/kernel"), Row("head/bias", "head/bias"))
BLOCKS = "Transformer/encoderblock_"
PREFIXES = ("opt/target/", "params/", "")


def block(num_heads):
    """Return a block's rows; flax keeps heads on an axis of their own."""
    heads, attention = split_heads(num_heads), "MultiHeadDotProductAttention_1"
    qkv = tuple(
        Row(f"{attention}/{name}/{kind}", f"attention/qkv/{kind}", part(k, 3, heads))
        for k, name in enumerate(("query", "key", "value"))
        for kind in ("kernel", "bias")
    )
    return qkv + tuple(
        Row(source, target, transform)
        for source, target, transform in (
            ("LayerNorm_0/scale", "norm1/gamma", SAME),
            ("LayerNorm_0/bias", "norm1/beta", SAME),
            (f"{attention}/out/kernel", "attention/out/kernel", merge_heads(num_heads)),
            (f"{attention}/out/bias", "attention/out/bias", SAME),
            ("LayerNorm_2/scale", "norm2/gamma", SAME),
            ("LayerNorm_2/bias", "norm2/beta", SAME),
            ("MlpBlock_3/Dense_0/kernel", "mlp/fc1/kernel", SAME),
            ("MlpBlock_3/Dense_0/bias", "mlp/fc1/bias", SAME),
            ("MlpBlock_3/Dense_1/kernel", "mlp/fc2/kernel", SAME),
            ("MlpBlock_3/Dense_1/bias", "mlp/fc2/bias", SAME),
        )
    )


def table(config, names=None):
    """Return the Table of a ViT.

    Args:
        config: as of `config_from`.
        names: of the file that is read, for its prefix; None: to write, without one.
    """
    rows = OUTSIDE + over_layers(
        block(config["num_heads"]), BLOCKS + "{i}/", "block_{i}/", config["num_layers"]
    )
    if config.get("pre_logits_dim"):
        rows += PRE_LOGITS
    if config["num_classes"]:
        rows += HEAD
    prefix = _prefix(names) if names else ""
    # Checkpoints of training runs keep the optimiser beside the model.
    ignore = ("opt/state/*",) if prefix == "opt/target/" else ()
    return Table(under(rows, prefix), ignore)


def matches(names, config=None):
    """Tell whether these tensor names are of Google's ViT; they come without a configuration."""
    return _prefix(names) is not None


def config_from(checkpoint, config=None, preprocessor=None, image_size=None):
    """Read the sizes off the tensors: a dictionary for `ViTConfig.from_dict`.

    Raises:
        CheckpointError: a hybrid with convolutions, or sizes that do not fit together.
    """
    path, prefix = getattr(checkpoint, "path", "the checkpoint"), _prefix(checkpoint)
    if prefix + "conv_root/kernel" in checkpoint:
        raise CheckpointError(
            f"{path}: a hybrid with a ResNet before the transformer ('conv_root/kernel'), which "
            "is not read yet; choose a plain ViT."
        )
    *patch, _, _ = shape_of(checkpoint, prefix + "embedding/kernel", rank=4)
    positions = prefix + OUTSIDE[3].source
    rows = shape_of(checkpoint, positions, rank=3)[1]
    grid, _ = position_grid(path, positions, rows, (1,), patch, (image_size,))
    first = f"{prefix}{BLOCKS}0/"
    query = first + "MultiHeadDotProductAttention_1/query/kernel"
    hidden_dim, num_heads, _ = shape_of(checkpoint, query, rank=3)
    return {
        "hidden_dim": hidden_dim,
        "num_layers": _num_layers(checkpoint, prefix),
        "num_heads": num_heads,
        "mlp_dim": shape_of(checkpoint, first + "MlpBlock_3/Dense_0/kernel", rank=2)[1],
        "patch_size": tuple(patch),
        "image_size": tuple(cells * size for cells, size in zip(grid, patch, strict=True)),
        # flax's GELU is the tanh approximation.
        "activation": "gelu_tanh",
        "epsilon": 1e-6,
        "position_resize": "bilinear_aligned",
        "pre_logits_dim": _columns(checkpoint, prefix + "pre_logits/kernel"),
        "num_classes": _columns(checkpoint, prefix + "head/kernel") or 0,
        "image": GOOGLE,
    }


def config_to(config):
    """Return the JSON files of this layout: none, its sizes lie in the tensors."""
    return {}


def _prefix(names):
    found = (p for p in PREFIXES if f"{p}{BLOCKS}0/LayerNorm_0/scale" in names)
    return next(found, None)


def _num_layers(checkpoint, prefix):
    start = prefix + BLOCKS
    return len({name[len(start) :].split("/")[0] for name in checkpoint if name.startswith(start)})


def _columns(checkpoint, name):
    return shape_of(checkpoint, name, rank=2)[1] if name in checkpoint else None
