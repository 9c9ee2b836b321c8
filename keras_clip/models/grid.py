"""The grid of patches, or cells, that an image tower sees a picture as."""

import keras
import numpy as np

from keras_clip.models.config import NaFlexConfig, ResNetConfig, ViTConfig


def check_image_tower(model):
    """The configuration of an image tower or ViT.

    Raises:
        ValueError: the model is something else.
    """
    config = getattr(model, "config", None)
    if not isinstance(config, (ViTConfig, ResNetConfig, NaFlexConfig)):
        raise ValueError(
            f"The model {getattr(model, 'name', model)!r} has no grid of patches: pass a ViT, or "
            'the image tower of a CLIP, clip.get_layer("vision").'
        )
    return config


def grid_of(config, inputs):
    """Patches down and across: (height, width).

    Args:
        config: of an image tower.
        inputs: a batch for it, which in a NaFlex model says what grid its pictures have.

    Raises:
        ValueError: the pictures of a NaFlex batch have different grids.
    """
    if not isinstance(config, NaFlexConfig):
        return config.grid_size
    grids = np.unique(keras.ops.convert_to_numpy(inputs["grid_sizes"]), axis=0)
    if len(grids) > 1:
        raise ValueError(
            f"The pictures have {len(grids)} different grids: pass those of one grid at a time."
        )
    return tuple(int(side) for side in grids[0])


def num_tokens_before(config):
    """Tokens before the first patch: class and register tokens, or a ResNet's mean."""
    if isinstance(config, ResNetConfig):
        return 1
    return getattr(config, "num_prefix_tokens", 0) + getattr(config, "num_register_tokens", 0)
