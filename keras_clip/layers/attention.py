"""Multi-head self-attention with fused projections."""

from functools import partial

import keras
from keras import ops

from keras_clip.layers.adaptable import Dense
from keras_clip.layers.dense import apply_dense
from keras_clip.layers.dot_product import attend, attend_with_scores
from keras_clip.layers.layer_state import KeepsState
from keras_clip.layers.rematerialized import Rematerialized


@keras.saving.register_keras_serializable(package="keras_clip")
class SelfAttention(Rematerialized, KeepsState, keras.layers.Layer):
    """Attend within a sequence: (B, N, D) -> (B, N, D).

    Query, key and value come from one `Dense` (`qkv`), the result goes through another (`out`),
    so that LoRA and quantisation work on them as on any `Dense`.

    Args:
        num_heads: int.
        head_dim: int or None. Width of a head; None: D // num_heads.
        causal: bool. A token sees itself and those before it.
        use_bias: bool. Whether the qkv projection has a bias; the output projection always has.
        dropout_rate: float. Dropout of the attention weights.

    Raises:
        ValueError: D is not a multiple of num_heads and no head_dim is given.
    """

    def __init__(
        self, num_heads, head_dim=None, causal=False, use_bias=True, dropout_rate=0.0, **kwargs
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.causal = causal
        self.use_bias = use_bias
        self.dropout_rate = dropout_rate
        self.supports_masking = True

    def build(self, input_shape):
        width = input_shape[-1]
        if self.head_dim is None and width % self.num_heads:
            raise ValueError(
                f"A width of {width} is not divisible by num_heads={self.num_heads}: choose "
                "another number of heads or give head_dim."
            )
        self.size = self.head_dim or width // self.num_heads
        inner = self.num_heads * self.size
        dense = {"kernel_initializer": "glorot_uniform", "dtype": self.dtype_policy}
        self.qkv = Dense(3 * inner, use_bias=self.use_bias, name="qkv", **dense)
        self.out = Dense(width, name="out", **dense)
        self.qkv.build(input_shape)
        self.out.build((*input_shape[:-1], inner))
        if self.dropout_rate:
            self.dropout = keras.layers.Dropout(self.dropout_rate, dtype=self.dtype_policy)

    def call(self, x, mask=None, training=None, return_attention_scores=False):
        """Attend; `mask` is (B, N), True for tokens that may be seen.

        With `return_attention_scores`, also returns the weights (B, heads, N, N).
        """
        length = ops.shape(x)[1] if x.shape[1] is None else x.shape[1]
        shape = (-1, length, self.num_heads, self.size)
        qkv = apply_dense(self.qkv, x)
        query, key, value = (ops.reshape(t, shape) for t in ops.split(qkv, 3, axis=-1))
        if mask is not None:
            mask = ops.cast(mask, "bool")[:, None, None, :]
        if return_attention_scores or (self.dropout_rate and training):
            dropout = partial(self.dropout.call, training=training) if self.dropout_rate else None
            y, scores = attend_with_scores(query, key, value, mask, self.causal, dropout)
        else:
            y, scores = attend(query, key, value, mask, self.causal), None
        y = apply_dense(self.out, ops.reshape(y, (-1, length, self.num_heads * self.size)))
        return (y, scores) if return_attention_scores else y

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "causal": self.causal,
            "use_bias": self.use_bias,
            "dropout_rate": self.dropout_rate,
        }
