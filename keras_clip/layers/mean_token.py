"""The mean of a feature map, put before it as a token."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_clip")
class MeanToken(keras.layers.Layer):
    """Flatten a feature map behind its mean: (B, H, W, C) -> (B, 1 + H*W, C).

    Source: openai/CLIP `clip/model.py`, `AttentionPool2d`.
    """

    def call(self, x):
        _, height, width, channels = x.shape
        x = ops.reshape(x, (-1, height * width, channels))
        return ops.concatenate([ops.mean(x, axis=1, keepdims=True), x], axis=1)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, 1 + height * width, channels)
