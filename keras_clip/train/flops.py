"""Floating-point operations of a tower's forward pass, from its configuration: 2 a multiply-add."""

import math

from keras_clip.models.config import NaFlexConfig, ResNetConfig, TextConfig


def forward_flops(config, training=False):
    """FLOPs of one picture or text, as a float; norms, activations and sums are left out.

    Args:
        config: ViTConfig, ResNetConfig, NaFlexConfig or TextConfig.
        training: bool. Whether patches are dropped, where the configuration says so.
    """
    if isinstance(config, ResNetConfig):
        return 2.0 * _resnet(config)
    if isinstance(config, TextConfig):
        length = config.context_length
        head = config.hidden_dim * config.projection_dim
        return 2.0 * (_encoder(config, length) + head)
    return 2.0 * _vision(config, num_tokens(config, training))


def num_tokens(config, training=False):
    """Tokens in the blocks of a transformer: prefix, registers and patches; or of the text."""
    if isinstance(config, TextConfig):
        return config.context_length
    if isinstance(config, NaFlexConfig):
        return config.image.max_patches
    patches = math.prod(config.grid_size)
    if training and config.patch_dropout_rate:
        patches = max(1, int(patches * (1 - config.patch_dropout_rate)))
    return config.num_prefix_tokens + config.num_register_tokens + patches


def _encoder(config, tokens):
    """Multiply-adds of the blocks: projections, perceptron, and two products of attention."""
    width, inner = config.hidden_dim, config.mlp_dim
    perceptron = (3 if config.activation == "swiglu" else 2) * width * inner
    return config.num_layers * tokens * (4 * width**2 + perceptron + 2 * tokens * width)


def _vision(config, tokens):
    width = config.hidden_dim
    patches = math.prod(config.grid_size)
    total = _encoder(config, tokens)
    if isinstance(config, NaFlexConfig):
        total += tokens * patches * width  # its positions are resampled by a product
        patches = tokens
    total += patches * 3 * math.prod(config.patch_size) * width
    pooled = width * (2 if config.pooling == "class_and_mean" else 1)
    if config.pooling == "attention":
        # Keys, values, one row of attention, its projection and perceptron.
        total += 2 * tokens * width**2 + 2 * tokens * width + width**2 + 2 * width * config.mlp_dim
    if isinstance(config, NaFlexConfig):
        return total
    for size in (config.projection_dim, config.pre_logits_dim, config.num_classes):
        if size:
            total += pooled * size
            pooled = size
    return total


def resnet_blocks(config):
    """Yield (cells in, cells out, channels in, filters, whether there is a shortcut) of each."""
    cells, channels = math.prod(config.image_size) // 16, config.width
    for stage, blocks in enumerate(config.stage_blocks):
        filters = config.width * 2**stage
        for block in range(blocks):
            after = cells // 4 if stage and not block else cells
            yield cells, after, channels, filters, after != cells or channels != 4 * filters
            cells, channels = after, 4 * filters


def _resnet(config):
    half, width = config.width // 2, config.width
    total = math.prod(config.image_size) // 4 * 9 * (3 * half + half * half + half * width)
    for cells, after, channels, filters, shortcut in resnet_blocks(config):
        total += cells * (channels * filters + 9 * filters**2) + after * filters * 4 * filters
        total += after * channels * 4 * filters if shortcut else 0
    tokens, width = math.prod(config.grid_size) + 1, config.hidden_dim
    # The attention pool: keys and values of all cells, the query of their mean.
    total += (2 * tokens + 1) * width**2 + 2 * tokens * width + width * config.projection_dim
    return total
