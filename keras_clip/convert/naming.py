"""What the names and shapes of a checkpoint tell about its model."""

import re

from keras_clip.convert.errors import CheckpointError


def shape_of(checkpoint, name, rank):
    """Return the shape of a tensor.

    Raises:
        CheckpointError: it is not there, or has another number of axes.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    if name not in checkpoint:
        raise CheckpointError(f"{path}: the tensor '{name}' is missing (-); is the file complete?")
    shape = tuple(checkpoint[name].shape)
    if len(shape) != rank:
        raise CheckpointError(f"{path}: '{name}' has the shape {shape}, not {rank} axes.")
    return shape


def count_layers(checkpoint, prefix):
    """Return how many numbered layers lie under `prefix`, such as `transformer.resblocks.`.

    Raises:
        CheckpointError: none, or a number is left out.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    pattern = re.compile(re.escape(prefix) + r"(\d{1,6})[./]")
    numbers = {int(found[1]) for name in checkpoint if (found := pattern.match(name))}
    if numbers != set(range(len(numbers))) or not numbers:
        raise CheckpointError(
            f"{path}: the layers '{prefix}N' are numbered {sorted(numbers)}; 0, 1, 2 ... without "
            "a gap are expected."
        )
    return len(numbers)
