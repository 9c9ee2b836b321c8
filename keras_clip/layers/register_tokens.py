"""Learned tokens put behind the class token."""

import keras
from keras import ops

from keras_clip.layers.layer_state import KeepsState


@keras.saving.register_keras_serializable(package="keras_clip")
class RegisterTokens(KeepsState, keras.layers.Layer):
    """Insert learned tokens without a position: (B, N, D) -> (B, N + num_tokens, D).

    Args:
        num_tokens: int.
        num_prefix_tokens: int. Tokens that stay in front of them, such as the class token.

    Reference: "Vision Transformers Need Registers" (arXiv 2309.16588), section 2.2.
    """

    def __init__(self, num_tokens, num_prefix_tokens=1, **kwargs):
        super().__init__(**kwargs)
        self.num_tokens = num_tokens
        self.num_prefix_tokens = num_prefix_tokens
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
        first, rest = x[:, : self.num_prefix_tokens], x[:, self.num_prefix_tokens :]
        return ops.concatenate([first, tokens, rest], axis=1)

    def compute_mask(self, inputs, mask=None):
        """Inserted tokens are always seen: (B, N) -> (B, N + num_tokens)."""
        if mask is None:
            return None
        first, rest = mask[:, : self.num_prefix_tokens], mask[:, self.num_prefix_tokens :]
        # Made from the mask, since a symbolic one has no batch size to make it with.
        seen = ops.repeat(ops.ones_like(mask[:, :1]), self.num_tokens, axis=1)
        return ops.concatenate([first, seen, rest], axis=1)

    def compute_output_shape(self, input_shape):
        batch, length, width = input_shape
        return (batch, None if length is None else length + self.num_tokens, width)

    def get_config(self):
        return {
            **super().get_config(),
            "num_tokens": self.num_tokens,
            "num_prefix_tokens": self.num_prefix_tokens,
        }
