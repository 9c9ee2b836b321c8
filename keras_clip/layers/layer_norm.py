"""Layer normalisation over the channels."""

import keras
from keras import ops

from keras_clip.layers.layer_state import KeepsState


@keras.saving.register_keras_serializable(package="keras_clip")
class LayerNorm(KeepsState, keras.layers.Layer):
    """Normalise each token, scale and shift, computed in float32: (..., D) -> (..., D).

    Keras's own layer gives the same numbers, but its graph on torch holds a size that cannot be
    written to ONNX with a free batch size.

    Args:
        epsilon: float. Added to the variance.

    Reference: "Layer Normalization" (arXiv 1607.06450).
    """

    def __init__(self, epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.supports_masking = True

    def build(self, input_shape):
        # Not cast to half precision on the way in, since the product is in float32.
        common = {"shape": (input_shape[-1],), "autocast": False}
        self.gamma = self.add_weight(name="gamma", initializer="ones", **common)
        self.beta = self.add_weight(name="beta", initializer="zeros", **common)

    def call(self, x):
        gamma, beta = ops.convert_to_tensor(self.gamma), ops.convert_to_tensor(self.beta)
        if keras.backend.backend() != "torch":
            return ops.layer_normalization(x, gamma, beta, axis=-1, epsilon=self.epsilon)
        from torch.nn.functional import layer_norm

        y = layer_norm(x.to(gamma.dtype), gamma.shape, gamma, beta, self.epsilon)
        return y.to(x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}
