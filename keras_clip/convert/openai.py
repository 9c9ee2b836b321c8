"""OpenAI's CLIP: TorchScript archives and state dicts with their names."""

from keras_clip.convert import openai_resnet
from keras_clip.convert.defaults.pictures import CLIP
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.naming import check_image_tower, count_layers, image_tower, shape_of
from keras_clip.convert.openai_answers import MARKS, OFFICIAL, answers
from keras_clip.convert.position_grid import position_grid
from keras_clip.convert.table import Row, Table, over_layers, under
from keras_clip.convert.torch_file import NOTE_FILE
from keras_clip.convert.transforms import CONV, LINEAR, UNBATCHED

FAMILY = "clip"

RESBLOCKS = "transformer.resblocks.{i}."
BLOCK = (
    Row("ln_1.weight", "norm1/gamma"),
    Row("ln_1.bias", "norm1/beta"),
    Row("attn.in_proj_weight", "attention/qkv/kernel", LINEAR),
    Row("attn.in_proj_bias", "attention/qkv/bias"),
    Row("attn.out_proj.weight", "attention/out/kernel", LINEAR),
    Row("attn.out_proj.bias", "attention/out/bias"),
    Row("ln_2.weight", "norm2/gamma"),
    Row("ln_2.bias", "norm2/beta"),
    Row("mlp.c_fc.weight", "mlp/fc1/kernel", LINEAR),
    Row("mlp.c_fc.bias", "mlp/fc1/bias"),
    Row("mlp.c_proj.weight", "mlp/fc2/kernel", LINEAR),
    Row("mlp.c_proj.bias", "mlp/fc2/bias"),
)
VISION = (
    Row("conv1.weight", "patch_embedding/kernel", CONV),
    Row("class_embedding", "class_token/tokens", UNBATCHED),
    Row("positional_embedding", "position_embedding/embeddings"),
    Row("ln_pre.weight", "norm_pre/gamma"),
    Row("ln_pre.bias", "norm_pre/beta"),
)
# `proj` and `text_projection` multiply from the right: they are kernels as they are.
VISION_END = (
    Row("ln_post.weight", "norm/gamma"),
    Row("ln_post.bias", "norm/beta"),
    Row("proj", "projection/kernel"),
)
TEXT = (
    Row("token_embedding.weight", "token_embedding/embeddings"),
    Row("positional_embedding", "position_embedding/embeddings"),
)
TEXT_END = (
    Row("ln_final.weight", "norm/gamma"),
    Row("ln_final.bias", "norm/beta"),
    Row("text_projection", "projection/kernel"),
)
IGNORE = MARKS
# What the official half precision leaves in single.
FLOAT32 = ("*ln_*", "*embedding*", "logit_scale")


def table(config, names=()):
    """Return the Table of a CLIP; `config` as of `config_from`, `names` of no influence.

    Raises:
        CheckpointError: the image tower is of another kind.
    """
    check_image_tower(config, "vit", "resnet")
    vision, resnet = config["vision"], image_tower(config) == "resnet"
    rows = (
        *(openai_resnet.vision_rows(vision) if resnet else _vit_rows(vision)),
        *under(TEXT, "", "text/"),
        *over_layers(BLOCK, RESBLOCKS, "text/block_{i}/", config["text"]["num_layers"]),
        *under(TEXT_END, "", "text/"),
        Row("logit_scale", "logit_scale/log_scale"),
    )
    if resnet:
        return Table(rows, IGNORE + openai_resnet.IGNORE, FLOAT32 + openai_resnet.FLOAT32)
    return Table(rows, IGNORE, FLOAT32)


def _vit_rows(vision):
    return (
        *under(VISION, "visual.", "vision/"),
        *over_layers(BLOCK, "visual." + RESBLOCKS, "vision/block_{i}/", vision["num_layers"]),
        *under(VISION_END, "visual.", "vision/"),
    )


def matches(names, config=None):
    """Tell whether these tensor names are OpenAI's; they come without a configuration."""
    return "visual.conv1.weight" in names and "ln_final.weight" in names


def config_from(checkpoint, config=None, preprocessor=None, image_size=None):
    """Read the sizes off the tensors: a dictionary for `CLIPConfig.from_dict`.

    Args:
        checkpoint: mapping of names to tensors.
        config: dictionary with what the tensors of others than OpenAI leave open; see `answers`.
        preprocessor: of no influence.
        image_size: (height, width) in pixels that is asked for, or None.

    Raises:
        CheckpointError: sizes that do not fit together, missing tensors, or open questions.
    """
    found = answers(checkpoint, config)
    resnet = "visual.layer1.0.conv1.weight" in checkpoint
    sizes = (_resolution(checkpoint), image_size)
    build = openai_resnet.vision_config if resnet else _vit_config
    text_dim = shape_of(checkpoint, "text_projection", rank=2)[1]
    return {
        "vision": {**build(checkpoint, found, sizes), "image": CLIP},
        "text": {**_text_config(checkpoint, found), "projection_dim": text_dim},
    }


def config_to(config):
    """Return what stands in the file beside the tensors: that OpenAI's code builds the model."""
    return {NOTE_FILE: OFFICIAL}


def _resolution(checkpoint):
    """The size of pictures that OpenAI's archives state, or None."""
    if MARKS[0] not in checkpoint:
        return None
    side = int(checkpoint[MARKS[0]].read().item())
    return side, side


def _vit_config(checkpoint, found, sizes):
    path = getattr(checkpoint, "path", "the checkpoint")
    width, _, *patch = shape_of(checkpoint, "visual.conv1.weight", rank=4)
    positions = "visual.positional_embedding"
    rows, _ = shape_of(checkpoint, positions, rank=2)
    grid, _ = position_grid(path, positions, rows, (1,), patch, sizes)
    if width % found["head_width"]:
        raise CheckpointError(
            f"{path}: the width of 'visual.transformer' is {width}, no multiple of "
            f"head_width={found['head_width']}."
        )
    return {
        **_encoder(checkpoint, "visual.", width, width // found["head_width"], found),
        "patch_size": tuple(patch),
        "image_size": tuple(cells * size for cells, size in zip(grid, patch, strict=True)),
        "use_patch_bias": False,
        "use_norm_pre": True,
        "position_resize": "bicubic_antialias",
        "projection_dim": shape_of(checkpoint, "visual.proj", rank=2)[1],
    }


def _text_config(checkpoint, found):
    vocabulary, width = shape_of(checkpoint, "token_embedding.weight", rank=2)
    end = found["eos_id"]
    return {
        **_encoder(checkpoint, "", width, found["heads"], found),
        "vocabulary_size": vocabulary,
        "context_length": shape_of(checkpoint, "positional_embedding", rank=2)[0],
        "pooling": "highest_id" if end is None else "end_token",
        "end_token_id": end,
    }


def _encoder(checkpoint, prefix, width, heads, found):
    blocks = prefix + "transformer.resblocks."
    return {
        "hidden_dim": width,
        "num_layers": count_layers(checkpoint, blocks),
        "num_heads": heads,
        "mlp_dim": shape_of(checkpoint, blocks + "0.mlp.c_fc.weight", rank=2)[0],
        "activation": "quick_gelu" if found["quick_gelu"] else "gelu",
        "epsilon": 1e-5,
    }
