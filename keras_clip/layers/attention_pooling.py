"""Pooling by a learned query."""

import keras
from keras import ops

from keras_clip.layers.adaptable import Dense
from keras_clip.layers.dot_product import attend, attend_with_scores
from keras_clip.layers.layer_norm import LayerNorm
from keras_clip.layers.layer_state import KeepsState
from keras_clip.layers.mlp import MLP
from keras_clip.layers.rematerialized import Rematerialized


@keras.saving.register_keras_serializable(package="keras_clip")
class AttentionPooling(Rematerialized, KeepsState, keras.layers.Layer):
    """Attend with one learned probe, then a perceptron with a residual: (B, N, D) -> (B, D).

    Args:
        num_heads: int. D is a multiple of it.
        mlp_dim: int. Width inside the perceptron.
        activation: `gelu`, `gelu_tanh`, `quick_gelu` or `swiglu`.
        epsilon: float. Of the layer norm.

    Reference: "Scaling Vision Transformers" (arXiv 2106.04560), section 3.2; the MAP head of
    big_vision `models/vit.py`.
    """

    def __init__(self, num_heads, mlp_dim, activation="gelu", epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.activation = activation
        self.epsilon = epsilon
        self.supports_masking = True

    def build(self, input_shape):
        width = input_shape[-1]
        if width % self.num_heads:
            raise ValueError(f"A width of {width} is not divisible by num_heads={self.num_heads}.")
        common = {"dtype": self.dtype_policy}
        self.probe = self.add_weight(name="probe", shape=(1, width), initializer="glorot_uniform")
        self.query = Dense(width, name="query", **common)
        self.key_value = Dense(2 * width, name="key_value", **common)
        self.out = Dense(width, name="out", **common)
        self.norm = LayerNorm(self.epsilon, name="norm", **common)
        self.mlp = MLP(self.mlp_dim, self.activation, name="mlp", **common)
        self.key_value.build(input_shape)
        for layer in (self.query, self.out, self.norm, self.mlp):
            layer.build((input_shape[0], 1, width))

    def call(self, x, padding_mask=None, mask=None, return_attention_scores=False):
        """Pool; `padding_mask` and Keras's own `mask` are (B, N), True where there is a token.

        With `return_attention_scores`, also returns the weights (B, heads, 1, N).
        """
        if mask is not None and padding_mask is not None:
            mask = ops.logical_and(mask, ops.cast(padding_mask, "bool"))
        mask = padding_mask if mask is None else mask
        width, batch = x.shape[-1], ops.shape(x)[0]
        heads = (self.num_heads, width // self.num_heads)
        query = ops.reshape(self.query(self.probe[None]), (1, 1, *heads))
        query = ops.broadcast_to(query, (batch, 1, *heads))
        key, value = ops.split(self.key_value(x), 2, axis=-1)
        length = ops.shape(x)[1] if x.shape[1] is None else x.shape[1]
        key, value = (ops.reshape(t, (-1, length, *heads)) for t in (key, value))
        if mask is not None:
            mask = ops.cast(mask, "bool")[:, None, None, :]
        if return_attention_scores:
            y, scores = attend_with_scores(query, key, value, mask)
        else:
            y, scores = attend(query, key, value, mask), None
        y = self.out(ops.reshape(y, (-1, width)))
        y = y + self.mlp(self.norm(y))
        return (y, scores) if return_attention_scores else y

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[2])

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "activation": self.activation,
            "epsilon": self.epsilon,
        }
