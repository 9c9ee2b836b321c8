"""Patches left out at random while training."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_clip")
class PatchDropout(keras.layers.Layer):
    """Keep a random part of the patches of each sample, in training only: (B, N, D) -> (B, M, D).

    All behind it then works on M = prefix + max(1, int((N - prefix) * (1 - rate))) tokens, in no
    order, without being scaled; at inference the layer does nothing. It stands behind the
    positions. A mask is cut likewise.

    Args:
        rate: float in [0, 1). The part of the patches that is left out.
        num_prefix_tokens: int. Tokens in front that are kept, such as the class token.
        seed: int or None.

    Raises:
        ValueError: while training: the number of tokens is not fixed, or no more than the prefix.

    Reference: "Scaling Language-Image Pre-training via Masking" (arXiv 2212.00794), section 3;
    mlfoundations/open_clip `transformer.py`, `PatchDropout`.
    """

    def __init__(self, rate, num_prefix_tokens=1, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.num_prefix_tokens = num_prefix_tokens
        self.seed = seed
        self.supports_masking = True
        if not 0 <= rate < 1:
            raise ValueError(f"rate is at least 0 and below 1, not {rate}.")
        self._rows_of_mask = None
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x, mask=None, training=None):
        """Drop patches; a `mask` is (B, N), and its part for the tokens that stay goes on."""
        if not training or not self.rate:
            return x
        rows = self._rows(x)
        self._rows_of_mask = None if mask is None else rows
        return ops.take_along_axis(x, rows[..., None], axis=1)

    def compute_mask(self, inputs, mask=None):
        """Cut a mask as the tokens were cut by the `call` just before: (B, N) -> (B, M)."""
        rows, self._rows_of_mask = self._rows_of_mask, None
        return mask if mask is None or rows is None else ops.take_along_axis(mask, rows, axis=1)

    def _rows(self, x):
        """Numbers of the tokens that stay: (B, M) int32."""
        prefix, batch = self.num_prefix_tokens, ops.shape(x)[0]
        patches = x.shape[1] - prefix if isinstance(x.shape[1], int) else 0
        if patches < 1:
            raise ValueError(
                f"PatchDropout needs a fixed number of tokens, more than the {prefix} of the "
                f"prefix, not a shape of {tuple(x.shape)}: give the Input its length."
            )
        scores = keras.random.uniform((batch, patches), dtype="float32", seed=self.seed_generator)
        rows = ops.top_k(scores, max(1, int(patches * (1 - self.rate))), sorted=False)[1]
        first = ops.broadcast_to(ops.arange(prefix, dtype="int32")[None], (batch, prefix))
        return ops.concatenate([first, ops.cast(rows, "int32") + prefix], axis=1)

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """Keras's hook for `keras.RematScope`: nothing is computed here that could be again."""
        return layer_call

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "rate": self.rate,
            "num_prefix_tokens": self.num_prefix_tokens,
            "seed": self.seed,
        }
