"""Learned positions, resampled for each picture's own grid."""

import keras
from keras import ops

from keras_clip.layers.layer_state import KeepsState


@keras.saving.register_keras_serializable(package="keras_clip")
class NaFlexPositionEmbedding(KeepsState, keras.layers.Layer):
    """Add positions of each picture's grid: (B, N, D), (B, 2) -> (B, N, D).

    The learned grid is resampled to (height, width) of every picture, bilinear with antialiasing,
    in float32. Tokens behind height * width are padding and get the first position.

    Args:
        grid_size: (height, width) of the learned grid.

    Reference: "SigLIP 2" (arXiv 2502.14786), section 2.4.2.
    """

    def __init__(self, grid_size, **kwargs):
        super().__init__(**kwargs)
        self.grid_size = tuple(grid_size)
        if len(self.grid_size) != 2:
            raise ValueError(f"grid_size is (height, width), not {grid_size}.")

    def build(self, x_shape, grid_sizes_shape):
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.grid_size[0] * self.grid_size[1], x_shape[-1]),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
        )

    def call(self, x, grid_sizes):
        """Add the positions; `grid_sizes` is (B, 2) int, patches down and across."""
        height, width = ops.split(ops.maximum(ops.cast(grid_sizes, "int32"), 1), 2, axis=1)
        token = ops.arange(ops.shape(x)[1], dtype="int32")[None]
        token = ops.where(token < height * width, token, 0)
        rows = _weights(token // width, height, self.grid_size[0])
        columns = _weights(token % width, width, self.grid_size[1])
        weights = rows[:, :, :, None] * columns[:, :, None, :]
        weights = ops.reshape(weights, (-1, ops.shape(x)[1], self.grid_size[0] * self.grid_size[1]))
        positions = ops.matmul(weights, ops.cast(self.embeddings, "float32"))
        return x + ops.cast(positions, x.dtype)

    def compute_output_shape(self, x_shape, grid_sizes_shape):
        return x_shape

    def get_config(self):
        return {**super().get_config(), "grid_size": self.grid_size}


def _weights(position, size, learned):
    """Weights of the learned positions along one axis: (B, N), (B, 1) -> (B, N, learned)."""
    scale = learned / ops.cast(size, "float32")[..., None]
    center = (ops.cast(position, "float32")[..., None] + 0.5) * scale - 0.5
    away = ops.abs(ops.arange(learned, dtype="float32") - center)
    # Shrinking widens the kernel; borders are renormalised.
    weights = ops.maximum(1.0 - away / ops.maximum(scale, 1.0), 0.0)
    return weights / ops.sum(weights, axis=-1, keepdims=True)
