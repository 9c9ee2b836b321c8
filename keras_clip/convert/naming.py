"""What the names and shapes of a checkpoint tell about its model."""

import re

from keras_clip.convert.errors import CheckpointError, MissingTensorError, OtherKindError
from keras_clip.convert.folding import grouped


def shape_of(checkpoint, name, rank):
    """Return the shape of a tensor.

    Raises:
        CheckpointError: it is not there, or has another number of axes.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    if name not in checkpoint:
        raise MissingTensorError(
            f"{path}: the tensor '{name}' is missing (-) among {grouped(checkpoint)}; is the file "
            "complete?"
        )
    shape = tuple(checkpoint[name].shape)
    if len(shape) != rank:
        raise CheckpointError(f"{path}: '{name}' has the shape {shape}, not {rank} axes.")
    return shape


def image_tower(config):
    """Return what kind of image tower a CLIP's configuration has: `vit`, `resnet` or `naflex`."""
    vision = config["vision"]
    if "stage_blocks" in vision:
        return "resnet"
    return "naflex" if "grid_size" in vision else "vit"


def check_image_tower(config, *kinds):
    """Raise an OtherKindError unless the image tower is of a kind that a layout has."""
    kind = image_tower(config)
    if kind not in kinds:
        raise OtherKindError(f"this layout has no {kind} image tower, only {', '.join(kinds)}.")


def count_layers(checkpoint, prefix):
    """Return how many numbered layers lie under `prefix`, such as `transformer.resblocks.`.

    Raises:
        CheckpointError: none, or a number is left out.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    pattern = re.compile(re.escape(prefix) + r"(\d{1,6})[./]")
    numbers = {int(found[1]) for name in checkpoint if (found := pattern.match(name))}
    if numbers != set(range(len(numbers))) or not numbers:
        raise MissingTensorError(
            f"{path}: the layers '{prefix}N' are numbered {sorted(numbers)}; 0, 1, 2 ... without "
            "a gap are expected."
        )
    return len(numbers)
