"""Facebook Research's own DINOv2 files: bare state dicts with names much as timm's."""

import re

from keras_clip.convert import timm_vit
from keras_clip.convert.defaults.pictures import DINOV2_OWN
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.naming import shape_of
from keras_clip.convert.position_grid import position_grid
from keras_clip.convert.table import Row, Table, under
from keras_clip.convert.transforms import BATCHED, LINEAR

FAMILY = "vit"

OUTSIDE = (
    *timm_vit.PATCHES,
    *timm_vit.PATCH_BIAS,
    *timm_vit.CLASS_TOKEN,
    *under(timm_vit.NORM, "norm.", "norm/"),
)
REGISTERS = (Row("register_tokens", "register_tokens/tokens", BATCHED),)
BLOCK = timm_vit.BLOCK + timm_vit.SCALES
SWIGLU = (
    Row("mlp.w12.weight", "mlp/fc1/kernel", LINEAR),
    Row("mlp.w12.bias", "mlp/fc1/bias"),
    Row("mlp.w3.weight", "mlp/fc2/kernel", LINEAR),
    Row("mlp.w3.bias", "mlp/fc2/bias"),
)
# It hides patches in pretraining only.
IGNORE = ("mask_token",)
# The builder's rule for all four sizes; the files do not hold the number of heads.
HEAD_DIM = 64
# The blocks may be in chunks, whose number then comes first: `blocks.0.3.norm1.weight`.
FIRST_NORM = re.compile(r"(blocks\.(?:\d+\.)?(\d+)\.)norm1\.weight")


def table(config, names):
    """Return the Table of a DINOv2.

    Args:
        config: as of `config_from`.
        names: of the file that is read, which says how its blocks are numbered.
    """
    block = BLOCK
    if config["activation"] == "swiglu":
        block = tuple(row for row in BLOCK if not row.target.startswith("mlp/")) + SWIGLU
    rows = OUTSIDE + (REGISTERS if config["num_register_tokens"] else ())
    for i, prefix in enumerate(_blocks(names)):
        rows += under(block, prefix, f"block_{i}/")
    return Table(rows, IGNORE)


def matches(names, config=None):
    """Tell whether these tensor names are DINOv2's own; they come without a configuration."""
    tensors = ("patch_embed.proj.weight", "pos_embed", "mask_token")
    return "architecture" not in (config or {}) and all(name in names for name in tensors)


def config_from(checkpoint, config=None, preprocessor=None, image_size=None):
    """Read the sizes off the tensors: a dictionary for `ViTConfig.from_dict`.

    Raises:
        CheckpointError: sizes that do not fit together.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    hidden_dim, _, *patch = shape_of(checkpoint, "patch_embed.proj.weight", rank=4)
    if hidden_dim % HEAD_DIM:
        raise CheckpointError(f"{path}: its width of {hidden_dim} is no multiple of {HEAD_DIM}.")
    rows = shape_of(checkpoint, "pos_embed", rank=3)[1]
    grid, _ = position_grid(path, "pos_embed", rows, (1,), patch, (image_size,))
    blocks = _blocks(checkpoint)
    swiglu = f"{blocks[0]}mlp.w3.weight" in checkpoint
    _, mlp_dim = shape_of(checkpoint, f"{blocks[0]}mlp.{'w3' if swiglu else 'fc2'}.weight", rank=2)
    registers = REGISTERS[0].source in checkpoint
    return {
        "hidden_dim": hidden_dim,
        "num_layers": len(blocks),
        "num_heads": hidden_dim // HEAD_DIM,
        "mlp_dim": mlp_dim,
        "patch_size": tuple(patch),
        "image_size": tuple(cells * size for cells, size in zip(grid, patch, strict=True)),
        "activation": "swiglu" if swiglu else "gelu",
        "epsilon": 1e-6,
        "num_register_tokens": shape_of(checkpoint, "register_tokens", 3)[1] if registers else 0,
        "layer_scale": 1e-5,
        "position_resize": "bicubic_antialias" if registers else "bicubic_offset",
        "image": DINOV2_OWN,
    }


def _blocks(names):
    """The prefixes of the blocks' names, in order; numbers go on over the chunks."""
    found = {int(match[2]): match[1] for name in names if (match := FIRST_NORM.fullmatch(name))}
    if not found or set(found) != set(range(len(found))):
        raise CheckpointError(
            f"{getattr(names, 'path', 'the checkpoint')}: the blocks 'blocks.N' are numbered "
            f"{sorted(found)}; 0, 1, 2 ... without a gap are expected."
        )
    return [found[i] for i in range(len(found))]
