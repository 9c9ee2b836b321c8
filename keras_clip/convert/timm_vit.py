"""timm's vision transformers: config.json with an `architecture`, tensors with timm's names."""

from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.naming import count_layers, shape_of
from keras_clip.convert.open_clip_siglip import BLOCK, POOLING
from keras_clip.convert.position_grid import position_grid
from keras_clip.convert.table import Row, Table, over_layers, under
from keras_clip.convert.timm_config import POOLINGS, Description, model_config
from keras_clip.convert.transforms import BATCHED, CONV, LINEAR, part

FAMILY = "vit"

PATCHES = (
    Row("patch_embed.proj.weight", "patch_embedding/kernel", CONV),
    Row("pos_embed", "position_embedding/embeddings", BATCHED),
)
PATCH_BIAS = (Row("patch_embed.proj.bias", "patch_embedding/bias"),)
CLASS_TOKEN = (Row("cls_token", "class_token/tokens", BATCHED),)
DISTILLED = (
    Row("cls_token", "class_token/tokens", part(0, 2, BATCHED, axis=0)),
    Row("dist_token", "class_token/tokens", part(1, 2, BATCHED, axis=0)),
)
SCALES = (
    Row("ls1.gamma", "layer_scale1/gamma"),
    Row("ls2.gamma", "layer_scale2/gamma"),
)
NORM = (Row("weight", "gamma"), Row("bias", "beta"))
DENSE = (Row("weight", "kernel", LINEAR), Row("bias", "bias"))
PREFIXES = {0: (), 1: CLASS_TOKEN, 2: DISTILLED}
FINAL_NORMS = {"tokens": "norm.", "pooled": "fc_norm."}


def table(config, names=None):
    """Return the Table of a ViT; `config` as of `config_from`, `names` of no influence."""
    block = BLOCK if config["layer_scale"] is None else BLOCK + SCALES
    if not config["use_qkv_bias"]:
        block = tuple(row for row in block if row.target != "attention/qkv/bias")
    rows = PATCHES + PREFIXES.get(config["num_prefix_tokens"], ())
    rows += over_layers(block, "blocks.{i}.", "block_{i}/", config["num_layers"])
    if config["use_patch_bias"]:
        rows += PATCH_BIAS
    if config["num_register_tokens"]:
        rows += (Row("reg_token", "register_tokens/tokens", BATCHED),)
    if config["use_norm_pre"]:
        rows += under(NORM, "norm_pre.", "norm_pre/")
    if config["final_norm"]:
        rows += under(NORM, FINAL_NORMS[config["final_norm"]], "norm/")
    if config["pooling"] == "attention":
        rows += under(POOLING, "attn_pool.", "pooling/")
    if config["num_classes"]:
        rows += under(DENSE, "head.", "head/")
    if config["use_distillation_head"]:
        rows += under(DENSE, "head_dist.", "head_distillation/")
    # Behind the pooling, so that tokens never meet it.
    return Table(rows, () if config["num_classes"] else ("fc_norm.*",))


def matches(names, config=None):
    """Tell whether this is of timm: by its configuration, or by the names of its tensors."""
    config = config or {}
    described = "architecture" in config and ("pretrained_cfg" in config or "crop_pct" in config)
    tensors = ("patch_embed.proj.weight", "pos_embed", "blocks.0.attn.qkv.weight")
    return described or all(name in names for name in tensors)


def config_from(checkpoint, config=None, preprocessor=None, image_size=None):
    """Read the sizes off the tensors, the rest off config.json: for `ViTConfig.from_dict`.

    Raises:
        CheckpointError: the architecture is not known, or does not fit the tensors.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    model = Description(config, path)
    _check_family(model, checkpoint)
    hidden_dim, _, *patch = shape_of(checkpoint, PATCHES[0].source, rank=4)
    prefix = sum(name in checkpoint for name in ("cls_token", "dist_token"))
    registers = _size(checkpoint, "reg_token", 1, rank=3)
    positions = shape_of(checkpoint, "pos_embed", rank=3)[1]
    before, sizes = model.position_rows(prefix, registers), (model.image_size, image_size)
    grid, count = position_grid(path, "pos_embed", positions, before, patch, sizes)
    if count and registers:
        raise CheckpointError(f"{path}: register tokens with positions are not read.")
    classes = _size(checkpoint, "head.weight", 0, rank=2)
    return {
        "hidden_dim": hidden_dim,
        "num_layers": count_layers(checkpoint, "blocks."),
        "num_heads": model.num_heads(hidden_dim),
        "mlp_dim": shape_of(checkpoint, "blocks.0.mlp.fc2.weight", rank=2)[1],
        "patch_size": tuple(patch),
        "image_size": tuple(cells * size for cells, size in zip(grid, patch, strict=True)),
        "activation": model.activation,
        "epsilon": model.epsilon,
        "num_prefix_tokens": prefix,
        "use_prefix_positions": bool(count) or not prefix,
        "num_register_tokens": registers,
        "pooling": _pooling(checkpoint, model, prefix, registers, classes),
        "final_norm": _final_norm(checkpoint, classes),
        "use_patch_bias": PATCH_BIAS[0].source in checkpoint,
        "use_qkv_bias": "blocks.0.attn.qkv.bias" in checkpoint,
        "use_norm_pre": "norm_pre.weight" in checkpoint,
        "layer_scale": 1e-5 if "blocks.0.ls1.gamma" in checkpoint else None,
        "position_resize": "bicubic_antialias",
        "num_classes": classes,
        "use_distillation_head": "head_dist.weight" in checkpoint,
        "head_activation": model.head_activation,
        "labels": model.labels(classes) if classes else None,
        "image": model.image(),
    }


def config_to(config):
    """Return {file name: content} of the JSON files that belong to the tensors."""
    return {"config.json": model_config(config)}


def _size(checkpoint, name, axis, rank):
    return shape_of(checkpoint, name, rank)[axis] if name in checkpoint else 0


def _pooling(checkpoint, model, prefix, registers, classes):
    usual = "avg" if "fc_norm.weight" in checkpoint or not prefix else "token"
    pool = "map" if "attn_pool.latent" in checkpoint else model.pool or usual
    if pool == "map" and (prefix or registers):
        raise CheckpointError(f"{model.path}: attention pooling beside other tokens is not read.")
    if pool not in POOLINGS:
        if classes:
            raise CheckpointError(
                f"{model.path}: config.json: global_pool is {pool!r}, known are {list(POOLINGS)}."
            )
        pool = usual
    return POOLINGS[pool]


def _final_norm(checkpoint, classes):
    if "norm.weight" in checkpoint:
        return "tokens"
    return "pooled" if classes and "fc_norm.weight" in checkpoint else None


def _check_family(model, checkpoint):
    """A family is not enough where its tensors show a model of which there are several kinds."""
    kinds = {"norm_pre.weight": "CLIP's", "attn_pool.latent": "SigLIP's"}
    for name, kind in kinds.items():
        if model.is_family and name in checkpoint:
            raise CheckpointError(
                f"{model.path}: '{name}' is of an image tower such as {kind}, of which a family "
                "leaves activation and epsilon open: give timm's name, as config={'architecture': "
                "'vit_base_patch16_clip_224'}."
            )
