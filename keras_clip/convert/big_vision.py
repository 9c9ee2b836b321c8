"""SigLIP as big_vision's .npz files: two towers with flax's names, blocks apart or stacked."""

from keras_clip.convert.defaults.pictures import BIG_VISION
from keras_clip.convert.huggingface_siglip import (
    MODEL,
    TEXT_TOWER,
    VISION_TOWER,
    pad_token_id,
)
from keras_clip.convert.naming import check_image_tower, count_layers, shape_of
from keras_clip.convert.position_grid import position_grid
from keras_clip.convert.table import Row, Table, over_layers, under
from keras_clip.convert.transforms import (
    BATCHED,
    merge_heads,
    part,
    split_heads,
    stacked,
)

FAMILY = "clip"

VISION = (
    Row("embedding/kernel", "patch_embedding/kernel"),
    Row("embedding/bias", "patch_embedding/bias"),
    Row("pos_embedding", "position_embedding/embeddings", BATCHED),
    Row("Transformer/encoder_norm/scale", "norm/gamma"),
    Row("Transformer/encoder_norm/bias", "norm/beta"),
)
TEXT = (
    Row("Embed_0/embedding", "token_embedding/embeddings"),
    Row("pos_embedding", "position_embedding/embeddings", BATCHED),
    Row("Encoder_0/encoder_norm/scale", "norm/gamma"),
    Row("Encoder_0/encoder_norm/bias", "norm/beta"),
)
HEAD = (
    Row("head/kernel", "projection/kernel"),
    Row("head/bias", "projection/bias"),
)
TOP = (
    Row("t", "logit_scale/log_scale", BATCHED),
    Row("b", "logit_scale/bias", BATCHED),
)
ATTENTION = "MultiHeadDotProductAttention_0"
POOLING = "img/MAPHead_0/"
BLOCKS = {"vision": "img/Transformer/encoderblock", "text": "txt/Encoder_0/encoderblock"}
PREFIXES = ("params/", "")


def table(config, names=None):
    """Return the Table of a SigLIP.

    Args:
        config: as of `config_from`.
        names: of the file that is read, for its prefix and whether its blocks are stacked; None:
            to write, with a prefix and each block apart.

    Raises:
        CheckpointError: the image tower is of another kind.
    """
    check_image_tower(config, "vit")
    prefix = _prefix(names) if names else PREFIXES[0]
    vision = config["vision"]
    rows = (
        *TOP,
        *under(VISION, "img/", "vision/"),
        *under(_pooling(vision["num_heads"]), POOLING, "vision/pooling/"),
        *under(TEXT + HEAD, "txt/", "text/"),
    )
    if vision["projection_dim"]:
        rows += under(HEAD, "img/", "vision/")
    for tower, blocks in BLOCKS.items():
        rows += _blocks(config[tower], blocks, tower, _is_stacked(names or (), prefix + blocks))
    return Table(under(rows, prefix))


def _blocks(config, source, tower, stack):
    block, layers = _block(config["num_heads"]), config["num_layers"]
    if not stack:
        return over_layers(block, source + "_{i}/", tower + "/block_{i}/", layers)
    return tuple(
        Row(
            f"{source}/{row.source}",
            f"{tower}/block_{i}/{row.target}",
            stacked(i, layers, row.transform),
        )
        for i in range(layers)
        for row in block
    )


def _block(num_heads):
    """A block's rows; flax keeps heads on an axis of their own."""
    heads = split_heads(num_heads)
    qkv = tuple(
        Row(f"{ATTENTION}/{name}/{kind}", f"attention/qkv/{kind}", part(k, 3, heads))
        for k, name in enumerate(("query", "key", "value"))
        for kind in ("kernel", "bias")
    )
    return (
        *qkv,
        *_out(num_heads, "attention/out"),
        *_norm("LayerNorm_0", "norm1"),
        *_norm("LayerNorm_1", "norm2"),
        *_mlp(),
    )


def _pooling(num_heads):
    """The rows of the head that pools by attention."""
    heads = split_heads(num_heads)
    parts = (("query", "query", heads), ("key", "key_value", part(0, 2, heads)))
    parts += (("value", "key_value", part(1, 2, heads)),)
    return (
        Row("probe", "probe", BATCHED),
        *(
            Row(f"{ATTENTION}/{name}/{kind}", f"{target}/{kind}", transform)
            for name, target, transform in parts
            for kind in ("kernel", "bias")
        ),
        *_out(num_heads, "out"),
        *_norm("LayerNorm_0", "norm"),
        *_mlp(),
    )


def _out(num_heads, target):
    return (
        Row(f"{ATTENTION}/out/kernel", f"{target}/kernel", merge_heads(num_heads)),
        Row(f"{ATTENTION}/out/bias", f"{target}/bias"),
    )


def _norm(source, target):
    return (Row(f"{source}/scale", f"{target}/gamma"), Row(f"{source}/bias", f"{target}/beta"))


def _mlp():
    return tuple(
        Row(f"MlpBlock_0/Dense_{k}/{kind}", f"mlp/fc{k + 1}/{kind}")
        for k in range(2)
        for kind in ("kernel", "bias")
    )


def matches(names, config=None):
    """Tell whether these tensor names are of a SigLIP; they come without a configuration."""
    return _prefix(names) is not None


def config_from(checkpoint, config=None, preprocessor=None, image_size=None):
    """Read the sizes off the tensors: a dictionary for `CLIPConfig.from_dict`.

    Raises:
        CheckpointError: sizes that do not fit together, or missing tensors.
    """
    path, prefix = getattr(checkpoint, "path", "the checkpoint"), _prefix(checkpoint)
    vision, text = f"{prefix}img/", f"{prefix}txt/"
    *patch, _, _ = shape_of(checkpoint, vision + "embedding/kernel", rank=4)
    positions = vision + "pos_embedding"
    rows = shape_of(checkpoint, positions, rank=3)[1]
    grid, _ = position_grid(path, positions, rows, (0,), patch, (image_size,))
    vocabulary, _ = shape_of(checkpoint, text + "Embed_0/embedding", rank=2)
    _, context, _ = shape_of(checkpoint, text + "pos_embedding", rank=3)
    _, text_dim = shape_of(checkpoint, text + "head/kernel", rank=2)
    image_head = vision + "head/kernel"
    return {
        **MODEL,
        "vision": {
            **_encoder(checkpoint, prefix + BLOCKS["vision"]),
            **VISION_TOWER,
            "patch_size": tuple(patch),
            "image_size": tuple(cells * size for cells, size in zip(grid, patch, strict=True)),
            "position_resize": "bilinear_aligned",
            "projection_dim": shape_of(checkpoint, image_head, rank=2)[1]
            if image_head in checkpoint
            else None,
            "use_projection_bias": image_head in checkpoint,
            "image": BIG_VISION,
        },
        "text": {
            **_encoder(checkpoint, prefix + BLOCKS["text"]),
            **TEXT_TOWER,
            "vocabulary_size": vocabulary,
            "context_length": context,
            "pad_token_id": pad_token_id(vocabulary),
            "projection_dim": text_dim,
        },
    }


def config_to(config):
    """Return the JSON files of this layout: none, its sizes lie in the tensors."""
    return {}


def _is_stacked(names, blocks):
    """Whether all blocks of a tower lie in one tensor each, on a leading axis."""
    return f"{blocks}/LayerNorm_0/scale" in names


def _encoder(checkpoint, blocks):
    stack = _is_stacked(checkpoint, blocks)
    first = f"{blocks}/" if stack else f"{blocks}_0/"
    *_, hidden_dim, num_heads, _ = shape_of(
        checkpoint, f"{first}{ATTENTION}/query/kernel", rank=3 + stack
    )
    *layers, _, mlp_dim = shape_of(checkpoint, f"{first}MlpBlock_0/Dense_0/kernel", rank=2 + stack)
    return {
        "hidden_dim": hidden_dim,
        "num_layers": layers[0] if stack else count_layers(checkpoint, f"{blocks}_"),
        "num_heads": num_heads,
        "mlp_dim": mlp_dim,
        # flax's GELU is the tanh approximation.
        "activation": "gelu_tanh",
        "epsilon": 1e-6,
    }


def _prefix(names):
    found = (p for p in PREFIXES if f"{p}{POOLING}probe" in names and f"{p}b" in names)
    return next(found, None)
