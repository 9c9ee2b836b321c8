"""Vectors scaled to unit length."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_clip")
class UnitNorm(keras.layers.Layer):
    """Divide by the Euclidean norm, in float32 whatever the policy: (..., D) -> (..., D)."""

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, x):
        x = ops.cast(x, "float32")
        square = ops.sum(ops.square(x), axis=-1, keepdims=True)
        # What is added only keeps a zero vector and its gradient finite.
        return x / ops.sqrt(square + 1e-24)

    def compute_output_shape(self, input_shape):
        return input_shape
