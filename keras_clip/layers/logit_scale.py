"""The learned temperature and bias of contrastive models."""

import math

import keras
from keras import ops

from keras_clip.layers.clamp import Clamp
from keras_clip.layers.layer_state import KeepsState


@keras.saving.register_keras_serializable(package="keras_clip")
class LogitScale(KeepsState, keras.layers.Layer):
    """Scaled cosine similarities: (n, D) and (m, D) unit vectors -> (n, m) logits.

    The weight is the logarithm of the scale; it is kept, and `exp` is taken, in float32 whatever
    the policy, and after each training step it is clamped to [0, ln(max_scale)].

    Args:
        initial_scale: float. The scale to start from, 1 / temperature.
        max_scale: float or None. The largest scale that training may reach; None: no clamping.
        initial_bias: float or None. Where a learned bias of all logits starts; None: no bias.

    Reference: "Learning Transferable Visual Models" (arXiv 2103.00020), sections 2.3 and 2.5;
    the bias is of "Sigmoid Loss for Language Image Pre-Training" (arXiv 2303.15343), section 3.2.
    """

    def __init__(self, initial_scale=1 / 0.07, max_scale=100.0, initial_bias=None, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.initial_scale = initial_scale
        self.max_scale = max_scale
        self.initial_bias = initial_bias

    def build(self, image_embeddings_shape, text_embeddings_shape):
        self.log_scale = self.add_weight(
            name="log_scale",
            shape=(),
            dtype="float32",
            initializer=keras.initializers.Constant(math.log(self.initial_scale)),
            constraint=None if self.max_scale is None else Clamp(0.0, math.log(self.max_scale)),
        )
        self.bias = None
        if self.initial_bias is not None:
            self.bias = self.add_weight(
                name="bias",
                shape=(),
                dtype="float32",
                initializer=keras.initializers.Constant(self.initial_bias),
            )

    def call(self, image_embeddings, text_embeddings):
        scale = ops.exp(ops.cast(self.log_scale, "float32"))
        images = ops.cast(image_embeddings, "float32")
        texts = ops.cast(text_embeddings, "float32")
        logits = scale * ops.matmul(images, ops.transpose(texts))
        return logits if self.bias is None else logits + self.bias

    def compute_output_shape(self, image_embeddings_shape, text_embeddings_shape):
        return (image_embeddings_shape[0], text_embeddings_shape[0])

    def get_config(self):
        return {
            **super().get_config(),
            "initial_scale": self.initial_scale,
            "max_scale": self.max_scale,
            "initial_bias": self.initial_bias,
        }
