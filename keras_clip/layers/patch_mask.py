"""Which patches of a filled-up sequence are a picture's own."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_clip")
class PatchMask(keras.layers.Layer):
    """Tell patches from padding: (B, N, D), (B, 2) -> (B, N), 1 where there is a patch, else 0.

    It serves as `padding_mask` of `TransformerEncoderBlock` and `AttentionPooling`.
    """

    def call(self, x, grid_sizes):
        """Make the mask; `grid_sizes` is (B, 2) int, patches down and across."""
        token = ops.arange(ops.shape(x)[1], dtype="int32")[None]
        count = ops.prod(ops.cast(grid_sizes, "int32"), axis=1, keepdims=True)
        return ops.cast(token < count, self.compute_dtype)

    def compute_output_shape(self, x_shape, grid_sizes_shape):
        return x_shape[:2]
