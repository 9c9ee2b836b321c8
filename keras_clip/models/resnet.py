"""CLIP's ResNet image tower."""

import keras

from keras_clip.layers import BottleneckBlock, FirstTokenAttention, MeanToken, PositionEmbedding
from keras_clip.layers.adaptable import Conv2D

STEM_CONVOLUTIONS = 3


def resnet_graph(config):
    """Build the graph of a ModifiedResNet: (images, output (B, projection_dim)), symbolic.

    It is never rematerialised: running statistics cannot leave a recomputed block.

    Args:
        config: ResNetConfig.

    Reference: "Learning Transferable Visual Models" (arXiv 2103.00020), section 2.4;
    openai/CLIP `clip/model.py`, `ModifiedResNet`.
    """
    with keras.RematScope(mode=None):
        return _graph(config)


def _graph(config):
    images = keras.Input((*config.image_size, 3), name="images")
    x = images
    for i in range(1, STEM_CONVOLUTIONS + 1):
        x = _stem_convolution(x, i, config)
    x = keras.layers.AveragePooling2D(2, name="stem_pool")(x)
    for stage, blocks in enumerate(config.stage_blocks):
        for i in range(blocks):
            stride = 2 if stage and not i else 1
            x = BottleneckBlock(
                config.width * 2**stage, stride, config.epsilon, name=f"stage_{stage}_block_{i}"
            )(x)
    x = MeanToken(name="mean_token")(x)
    x = PositionEmbedding(config.grid_size, 1, name="position_embedding")(x)
    x = FirstTokenAttention(config.num_heads, config.projection_dim, name="attention_pool")(x)
    return images, x


def _stem_convolution(x, i, config):
    stride = 2 if i == 1 else 1
    filters = config.width if i == STEM_CONVOLUTIONS else config.width // 2
    # Padding by a layer of its own: with a stride, "same" would shift the grid by a pixel.
    x = keras.layers.ZeroPadding2D(1, name=f"stem_pad{i}")(x)
    x = Conv2D(filters, 3, stride, use_bias=False, name=f"stem_conv{i}")(x)
    norm = keras.layers.BatchNormalization(
        epsilon=config.epsilon, momentum=0.9, name=f"stem_norm{i}"
    )
    return keras.layers.ReLU(name=f"stem_relu{i}")(norm(x))
