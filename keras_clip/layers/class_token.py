"""Learned tokens put before the sequence."""

import keras
from keras import ops

from keras_clip.layers.layer_state import KeepsState


@keras.saving.register_keras_serializable(package="keras_clip")
class ClassToken(KeepsState, keras.layers.Layer):
    """Prepend learned tokens: (B, N, D) -> (B, num_tokens + N, D).

    Args:
        num_tokens: int. 1 is the class token; more are registers behind it
            ("Vision Transformers Need Registers", arXiv 2309.16588).
    """

    def __init__(self, num_tokens=1, **kwargs):
        super().__init__(**kwargs)
        self.num_tokens = num_tokens
        self.supports_masking = True
        if num_tokens < 1:
            raise ValueError(f"num_tokens is at least 1, not {num_tokens}.")

    def build(self, input_shape):
        self.tokens = self.add_weight(
            name="tokens",
            shape=(self.num_tokens, input_shape[-1]),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
        )

    def call(self, x):
        shape = (ops.shape(x)[0], self.num_tokens, x.shape[-1])
        tokens = ops.broadcast_to(ops.cast(self.tokens, x.dtype)[None], shape)
        return ops.concatenate([tokens, x], axis=1)

    def compute_mask(self, inputs, mask=None):
        """Tokens put in front are always seen: (B, N) -> (B, num_tokens + N)."""
        if mask is None:
            return None
        # Made from the mask, since a symbolic one has no batch size to make it with.
        seen = ops.repeat(ops.ones_like(mask[:, :1]), self.num_tokens, axis=1)
        return ops.concatenate([seen, mask], axis=1)

    def compute_output_shape(self, input_shape):
        batch, length, width = input_shape
        return (batch, None if length is None else length + self.num_tokens, width)

    def get_config(self):
        return {**super().get_config(), "num_tokens": self.num_tokens}
