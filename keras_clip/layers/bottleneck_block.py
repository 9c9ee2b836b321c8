"""The residual block of CLIP's ResNets."""

import keras
from keras import ops

from keras_clip.layers.adaptable import Conv2D
from keras_clip.layers.layer_state import KeepsState


@keras.saving.register_keras_serializable(package="keras_clip")
class BottleneckBlock(KeepsState, keras.layers.Layer):
    """1x1, 3x3 and 1x1 convolutions with a residual: (B, H, W, C) -> (B, H/s, W/s, 4 * filters).

    The stride is an average pool behind the second convolution and before the shortcut's, so
    that nothing is skipped ("antialiased").

    Args:
        filters: int. Channels inside.
        stride: int. 1 or 2.
        epsilon: float. Of the batch norms, which in inference use their running statistics.

    Reference: "Learning Transferable Visual Models" (arXiv 2103.00020), section 2.4;
    openai/CLIP `clip/model.py`, `Bottleneck`.
    """

    EXPANSION = 4

    def __init__(self, filters, stride=1, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.stride = stride
        self.epsilon = epsilon

    def build(self, input_shape):
        channels, wide = input_shape[-1], self.EXPANSION * self.filters
        inside = (*input_shape[:-1], self.filters)
        pooled = self._pooled_shape(inside)
        self.conv1, self.norm1 = self._pair("1", self.filters, 1, input_shape)
        self.conv2, self.norm2 = self._pair("2", self.filters, 3, inside)
        self.conv3, self.norm3 = self._pair("3", wide, 1, pooled)
        self.shortcut = self.shortcut_norm = None
        if self.stride > 1 or channels != wide:
            shape = (*pooled[:-1], channels)
            self.shortcut, self.shortcut_norm = self._pair("_shortcut", wide, 1, shape)

    def _pair(self, name, filters, size, shape):
        common = {"dtype": self.dtype_policy}
        conv = Conv2D(filters, size, padding="same", use_bias=False, name=f"conv{name}", **common)
        norm = keras.layers.BatchNormalization(
            epsilon=self.epsilon, momentum=0.9, name=f"norm{name}", **common
        )
        conv.build(shape)
        norm.build((*shape[:-1], filters))
        return conv, norm

    def _pooled_shape(self, shape):
        batch, height, width, channels = shape
        sides = (None if side is None else side // self.stride for side in (height, width))
        return (batch, *sides, channels)

    def _pool(self, x):
        return ops.average_pool(x, self.stride, self.stride) if self.stride > 1 else x

    def call(self, x, training=None):
        y = ops.relu(self.norm1(self.conv1(x), training=training))
        y = self._pool(ops.relu(self.norm2(self.conv2(y), training=training)))
        y = self.norm3(self.conv3(y), training=training)
        if self.shortcut is not None:
            x = self.shortcut_norm(self.shortcut(self._pool(x)), training=training)
        return ops.relu(x + y)

    def compute_output_shape(self, input_shape):
        return (*self._pooled_shape(input_shape)[:-1], self.EXPANSION * self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "stride": self.stride,
            "epsilon": self.epsilon,
        }
