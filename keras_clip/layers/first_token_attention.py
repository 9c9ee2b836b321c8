"""Pooling by the attention of the first token."""

import keras
from keras import ops

from keras_clip.layers.adaptable import Dense
from keras_clip.layers.dot_product import attend, attend_with_scores
from keras_clip.layers.layer_state import KeepsState


@keras.saving.register_keras_serializable(package="keras_clip")
class FirstTokenAttention(KeepsState, keras.layers.Layer):
    """Let the first token attend to all and project the result: (B, N, D) -> (B, output_dim).

    Args:
        num_heads: int. D is a multiple of it.
        output_dim: int.

    Source: openai/CLIP `clip/model.py`, `AttentionPool2d`.
    """

    def __init__(self, num_heads, output_dim, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.output_dim = output_dim

    def build(self, input_shape):
        width = input_shape[-1]
        if width % self.num_heads:
            raise ValueError(f"A width of {width} is not divisible by num_heads={self.num_heads}.")
        for name, units in (("query", width), ("key", width), ("value", width)):
            setattr(self, name, Dense(units, name=name, dtype=self.dtype_policy))
            getattr(self, name).build(input_shape)
        self.out = Dense(self.output_dim, name="out", dtype=self.dtype_policy)
        self.out.build((input_shape[0], width))

    def call(self, x, return_attention_scores=False):
        """Pool; with `return_attention_scores`, also returns the weights (B, heads, 1, N)."""
        length, width = x.shape[1:]
        heads = (self.num_heads, width // self.num_heads)
        query = ops.reshape(self.query(x[:, :1]), (-1, 1, *heads))
        key, value = (
            ops.reshape(layer(x), (-1, length, *heads)) for layer in (self.key, self.value)
        )
        if return_attention_scores:
            y, scores = attend_with_scores(query, key, value)
        else:
            y, scores = attend(query, key, value), None
        y = self.out(ops.reshape(y, (-1, width)))
        return (y, scores) if return_attention_scores else y

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.output_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "output_dim": self.output_dim,
        }
