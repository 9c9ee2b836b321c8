"""Patches left out at random while training."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_clip")
class PatchDropout(keras.layers.Layer):
    """Keep a random part of the patches of each sample, in training only: (B, N, D) -> (B, M, D).

    All behind it then works on M = prefix + max(1, int((N - prefix) * (1 - rate))) tokens, in no
    order, without being scaled; at inference the layer does nothing. It stands behind the
    positions.

    Args:
        rate: float in [0, 1). The part of the patches that is left out.
        num_prefix_tokens: int. Tokens in front that are kept, such as the class token.
        seed: int or None.

    Raises:
        ValueError: while training: the number of tokens is not fixed, or no more than the prefix,
            or there is a mask.

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
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x, mask=None, training=None):
        if not training or not self.rate:
            return x
        if mask is not None:
            # A Functional model decides on its masks when it is built, not while it trains.
            raise ValueError("PatchDropout cannot train on masked tokens: leave the mask out.")
        return ops.take_along_axis(x, self._rows(x)[..., None], axis=1)

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
