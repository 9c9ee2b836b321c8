"""OpenAI's CLIP, ResNet image towers: the rows and sizes that differ from a transformer's."""

from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.naming import shape_of
from keras_clip.convert.position_grid import position_grid
from keras_clip.convert.table import Row, over_layers, under
from keras_clip.convert.transforms import CONV, LINEAR

IGNORE = ("*.num_batches_tracked",)
POSITIONS = "visual.attnpool.positional_embedding"
STRIDE = 32  # of the last stage in pixels, and its channels over those of the stem
# What the official half precision leaves in single.
FLOAT32 = ("visual.bn*", "visual.layer*.bn*", "visual.layer*.downsample.1.*")


def _norm(source, target):
    return (
        Row(f"{source}.weight", f"{target}/gamma"),
        Row(f"{source}.bias", f"{target}/beta"),
        Row(f"{source}.running_mean", f"{target}/moving_mean"),
        Row(f"{source}.running_var", f"{target}/moving_variance"),
    )


STEM = tuple(
    row
    for i in (1, 2, 3)
    for row in (
        Row(f"conv{i}.weight", f"stem_conv{i}/kernel", CONV),
        *_norm(f"bn{i}", f"stem_norm{i}"),
    )
)
BLOCK = tuple(
    row
    for i in (1, 2, 3)
    for row in (
        Row(f"conv{i}.weight", f"conv{i}/kernel", CONV),
        *_norm(f"bn{i}", f"norm{i}"),
    )
)
SHORTCUT = (
    Row("downsample.0.weight", "conv_shortcut/kernel", CONV),
    *_norm("downsample.1", "norm_shortcut"),
)
POOL = (
    Row("positional_embedding", "position_embedding/embeddings"),
    *(
        row
        for source, target in (
            ("q_proj", "query"),
            ("k_proj", "key"),
            ("v_proj", "value"),
            ("c_proj", "out"),
        )
        for row in (
            Row(f"{source}.weight", f"attention_pool/{target}/kernel", LINEAR),
            Row(f"{source}.bias", f"attention_pool/{target}/bias"),
        )
    ),
)


def vision_rows(config):
    """Return the rows of the image tower; `config` as of `vision_config`."""
    rows = [*under(STEM, "visual.", "vision/"), *under(POOL, "visual.attnpool.", "vision/")]
    for stage, blocks in enumerate(config["stage_blocks"]):
        source, target = f"visual.layer{stage + 1}.", f"vision/stage_{stage}_block_"
        rows += over_layers(BLOCK, source + "{i}.", target + "{i}/", blocks)
        rows += under(SHORTCUT, source + "0.", target + "0/")
    return tuple(rows)


def vision_config(checkpoint, found, sizes):
    """Read the sizes off the tensors: a dictionary for `ResNetConfig.from_dict`, less the image.

    Args:
        checkpoint: mapping of names to tensors.
        found: as of `openai_answers.answers`.
        sizes: of pictures, as of `position_grid`.

    Raises:
        CheckpointError: sizes that do not fit together, or missing tensors.
    """
    path, positions = getattr(checkpoint, "path", "the checkpoint"), POSITIONS
    width = shape_of(checkpoint, "visual.layer1.0.conv1.weight", rank=4)[0]
    rows, channels = shape_of(checkpoint, positions, rank=2)
    if channels != STRIDE * width:
        raise CheckpointError(
            f"{path}: '{positions}' has {channels} channels, not the {STRIDE * width} of the last "
            "stage."
        )
    # The mean has a position too.
    grid, _ = position_grid(path, positions, rows, (1,), (STRIDE, STRIDE), sizes)
    stages = (_count(checkpoint, f"visual.layer{stage}.") for stage in (1, 2, 3, 4))
    return {
        "stage_blocks": tuple(stages),
        "width": width,
        "num_heads": max(channels // found["head_width"], 1),
        "projection_dim": shape_of(checkpoint, "visual.attnpool.c_proj.weight", rank=2)[0],
        "image_size": tuple(STRIDE * cells for cells in grid),
        "position_resize": "bicubic_antialias",
    }


def _count(checkpoint, prefix):
    found = {name[len(prefix) :].split(".")[0] for name in checkpoint if name.startswith(prefix)}
    return len(found)
