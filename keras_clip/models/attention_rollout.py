"""What a model's output has looked at, followed through all of its layers."""

import numpy as np

from keras_clip.models.attention_maps import attention_maps, pooling_attention
from keras_clip.models.config import ResNetConfig
from keras_clip.models.grid import check_image_tower, grid_of, num_tokens_before


def attention_rollout(model, inputs):
    """Follow attention from the output to the patches: a batch -> (B, h, w) float32 NumPy.

    Each layer's weights are the mean over its heads; half of what a token holds is its own, by
    the residual. The output looks where the pooling does: at the class token, at all patches
    alike, or by its own attention. What is missing from a sum of 1 went to class and register
    tokens. A ResNet has no layers of attention but its pooling, whose weights these are.

    Args:
        model: a ViT, or the image tower of a CLIP, `clip.get_layer("vision")`.
        inputs: a batch for it, as `image_processor` gives; of a NaFlex model, of one grid.

    Raises:
        ValueError: the model has no grid of patches, or the pictures have different ones.

    Reference: "Quantifying Attention Flow in Transformers" (arXiv 2005.00928), section 4.
    """
    config = check_image_tower(model)
    grid, before = grid_of(config, inputs), num_tokens_before(config)
    if isinstance(config, ResNetConfig):
        shares = pooling_attention(model, inputs).mean(axis=1)
        # The first token is the mean of the cells, so that each has an equal part of its weight.
        cells = shares[:, before:] + shares[:, :before] / (shares.shape[1] - before)
    else:
        weights = attention_maps(model, inputs).mean(axis=2)
        shares = _looks(model, config, inputs, weights.shape[1], weights.shape[2])
        for layer in weights[::-1]:
            mixed = layer + np.eye(layer.shape[-1], dtype="float32")
            mixed /= mixed.sum(axis=-1, keepdims=True)
            shares = np.einsum("bq,bqk->bk", shares, mixed)
        cells = shares[:, before : before + grid[0] * grid[1]]
    return cells.reshape(-1, *grid).astype("float32")


def _looks(model, config, inputs, count, length):
    """Weights with which the output looks at the last block's tokens: (B, N)."""
    if config.pooling == "attention":
        return pooling_attention(model, inputs).mean(axis=1)
    patches = np.zeros(length, "float32")
    patches[num_tokens_before(config) :] = 1 / (length - num_tokens_before(config))
    heads = 2 if getattr(config, "use_distillation_head", False) else 1
    token = np.zeros(length, "float32")
    token[:heads] = 1 / heads
    chosen = {"class_token": token, "mean": patches, "class_and_mean": (token + patches) / 2}
    return np.tile(chosen[config.pooling], (count, 1))
