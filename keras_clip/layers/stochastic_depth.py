"""Residual branches left out at random while training."""

import keras
from keras import ops

from keras_clip.layers.rematerialized import Rematerialized


@keras.saving.register_keras_serializable(package="keras_clip")
class StochasticDepth(Rematerialized, keras.layers.Layer):
    """Zero whole samples and scale up the rest, in training only: (B, ...) -> (B, ...).

    Args:
        rate: float in [0, 1). Probability that a sample is dropped.
        seed: int or None.

    Reference: "Deep Networks with Stochastic Depth" (arXiv 1603.09382).
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed
        self.supports_masking = True
        if not 0 <= rate < 1:
            raise ValueError(f"rate is at least 0 and below 1, not {rate}.")
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x, training=None):
        if not training or not self.rate:
            return x
        shape = (ops.shape(x)[0],) + (1,) * (len(x.shape) - 1)
        kept = keras.random.uniform(shape, seed=self.seed_generator) >= self.rate
        return ops.where(kept, x / (1 - self.rate), ops.zeros_like(x))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
