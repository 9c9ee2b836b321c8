"""What a tower keeps of its forward pass for the backward pass, from its configuration."""

import math

from keras_clip.models.config import ResNetConfig
from keras_clip.train.flops import num_tokens, resnet_blocks


def kept_numbers(config, rematerialized=False):
    """How many numbers are kept of one picture or text in training, as an int.

    Of a block of width D with a perceptron of width M: its input, both norms' outputs, query, key,
    value, the mixed values, the sum behind attention, the perceptron before and behind its
    activation (8 D + 2 M a token, and M more for the gate of `quick_gelu` and `swiglu`), and the
    weights of attention. Backends add or spare some: docs/plan.md says what was measured.

    Args:
        config: ViTConfig, ResNetConfig, NaFlexConfig or TextConfig.
        rematerialized: bool. Whether blocks are computed again (`keras.RematScope`): of each only
            the input is kept, and everything of one block at a time.
    """
    if isinstance(config, ResNetConfig):
        return _resnet(config)
    tokens, width = num_tokens(config, training=True), config.hidden_dim
    gate = 3 if config.activation in ("quick_gelu", "swiglu") else 2
    block = tokens * (8 * width + gate * config.mlp_dim + config.num_heads * tokens)
    ends = 4 * tokens * width  # embedded, with positions, and the norms before and behind
    if rematerialized:
        return ends + block + config.num_layers * tokens * width
    return ends + config.num_layers * block


def _resnet(config):
    """Of every convolution its input and output, as the norm behind it wants the latter."""
    total = math.prod(config.image_size) // 4 * 4 * config.width
    for cells, after, _, filters, shortcut in resnet_blocks(config):
        total += 4 * cells * filters + after * filters * (13 + 8 * shortcut)
    return total + 5 * (math.prod(config.grid_size) + 1) * config.hidden_dim
