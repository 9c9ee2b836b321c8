"""A sequence of tokens turned into one vector."""

import keras
from keras import ops

from keras_clip.layers.rematerialized import Rematerialized


@keras.saving.register_keras_serializable(package="keras_clip")
class TokenPooling(Rematerialized, keras.layers.Layer):
    """Pool by position: (B, N, D) -> (B, D), or (B, 2 D) with `class_and_mean`.

    Args:
        mode: `class_token` (the first token), `mean` (of the tokens behind the prefix; masked
            ones are left out), `class_and_mean` (both, side by side) or `last` (the last token).
        num_prefix_tokens: int. Class and register tokens, which a mean leaves out.
    """

    MODES = ("class_token", "mean", "class_and_mean", "last")

    def __init__(self, mode="class_token", num_prefix_tokens=0, **kwargs):
        super().__init__(**kwargs)
        self.mode = mode
        self.num_prefix_tokens = num_prefix_tokens
        self.supports_masking = True
        if mode not in self.MODES:
            raise ValueError(f"mode is one of {self.MODES}, not {mode!r}.")

    def call(self, x, mask=None):
        if self.mode == "class_and_mean":
            return ops.concatenate([x[:, 0], self._mean(x, mask)], axis=-1)
        if self.mode == "mean":
            return self._mean(x, mask)
        return x[:, 0 if self.mode == "class_token" else -1]

    def _mean(self, x, mask):
        x = x[:, self.num_prefix_tokens :]
        if mask is None:
            return ops.mean(x, axis=1)
        seen = ops.cast(mask[:, self.num_prefix_tokens :], x.dtype)[..., None]
        count = ops.maximum(ops.sum(seen, axis=1), 1)
        return ops.sum(x * seen, axis=1) / count

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[2] * (2 if self.mode == "class_and_mean" else 1))

    def get_config(self):
        return {
            **super().get_config(),
            "mode": self.mode,
            "num_prefix_tokens": self.num_prefix_tokens,
        }


@keras.saving.register_keras_serializable(package="keras_clip")
class EndOfTextPooling(keras.layers.Layer):
    """Take the token at the end of the text: (B, N, D), (B, N) ids -> (B, D).

    Args:
        end_token_id: int or None. The first position with this id is the end; without any, the
            first position. None: the first position of the highest id, which is CLIP's rule.
    """

    def __init__(self, end_token_id=None, **kwargs):
        super().__init__(**kwargs)
        self.end_token_id = end_token_id
        self.supports_masking = True

    def call(self, x, token_ids):
        ids = ops.cast(token_ids, "int32")
        if self.end_token_id is not None:
            ids = ops.cast(ops.equal(ids, self.end_token_id), "int32")
        end = ops.cast(ops.argmax(ids, axis=-1), "int32")
        # A sum over one unmasked row is exact, and compiles everywhere where a gather does not.
        positions = ops.arange(ops.shape(x)[1], dtype="int32")
        chosen = ops.equal(positions[None, :], end[:, None])
        return ops.sum(ops.where(chosen[..., None], x, ops.zeros_like(x)), axis=1)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, x_shape, token_ids_shape):
        return (x_shape[0], x_shape[2])

    def get_config(self):
        return {**super().get_config(), "end_token_id": self.end_token_id}
