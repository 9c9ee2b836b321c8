"""The learned temperature of contrastive models."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_clip")
class LogitScale(keras.layers.Layer):
    """Scaled cosine similarities: (n, D) and (m, D) unit vectors -> (n, m) logits.

    The weight is the logarithm of the scale; it is kept, and `exp` is taken, in float32 whatever
    the policy, and after each training step it is clamped to [0, ln(max_scale)].

    Args:
        initial_scale: float. The scale to start from, 1 / temperature.
        max_scale: float. The largest scale that training may reach.

    Reference: "Learning Transferable Visual Models" (arXiv 2103.00020), sections 2.3 and 2.5.
    """

    def __init__(self, initial_scale=1 / 0.07, max_scale=100.0, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.initial_scale = initial_scale
        self.max_scale = max_scale

    def build(self, image_embeddings_shape, text_embeddings_shape):
        self.log_scale = self.add_weight(
            name="log_scale",
            shape=(),
            dtype="float32",
            initializer=keras.initializers.Constant(math.log(self.initial_scale)),
            constraint=lambda value: ops.clip(value, 0.0, math.log(self.max_scale)),
        )

    def call(self, image_embeddings, text_embeddings):
        scale = ops.exp(ops.cast(self.log_scale, "float32"))
        images = ops.cast(image_embeddings, "float32")
        texts = ops.cast(text_embeddings, "float32")
        return scale * ops.matmul(images, ops.transpose(texts))

    def compute_output_shape(self, image_embeddings_shape, text_embeddings_shape):
        return (image_embeddings_shape[0], text_embeddings_shape[0])

    def get_config(self):
        return {
            **super().get_config(),
            "initial_scale": self.initial_scale,
            "max_scale": self.max_scale,
        }
