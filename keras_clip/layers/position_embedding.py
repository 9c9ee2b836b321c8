"""Learned positions, for a grid of patches or a line of text."""

import math

import keras
from keras import ops

from keras_clip.layers.layer_state import KeepsState


@keras.saving.register_keras_serializable(package="keras_clip")
class PositionEmbedding(KeepsState, keras.layers.Layer):
    """Add a learned vector to every position: (B, N, D) -> (B, N, D).

    The layer knows its grid and its prefix tokens, which is what resampling to another image
    size needs (`keras_clip.models.resize`).

    Args:
        grid_size: (height, width) of the patch grid, or (length,) of a text; a text may be
            shorter than its length and takes the first rows. None: a square grid if the number
            of patches is a square, else a line, decided at build.
        num_prefix_tokens: int or None. Tokens before the grid, with positions of their own.
            None: 1 where that leaves a square grid, else 0; only with `grid_size=None`.

    Raises:
        ValueError: the sequence does not have the grid's length, or is longer than the text's.
    """

    def __init__(self, grid_size=None, num_prefix_tokens=None, **kwargs):
        super().__init__(**kwargs)
        self.grid_size = None if grid_size is None else tuple(grid_size)
        self.num_prefix_tokens = num_prefix_tokens
        self.supports_masking = True
        if grid_size is not None and len(self.grid_size) not in (1, 2):
            raise ValueError(f"grid_size is (height, width) or (length,), not {grid_size}.")

    def build(self, input_shape):
        length, width = input_shape[1:]
        if self.grid_size is None:
            self._infer_grid(length)
        elif self.num_prefix_tokens is None:
            self.num_prefix_tokens = 0 if len(self.grid_size) == 1 else 1
        self.length = self.num_prefix_tokens + math.prod(self.grid_size)
        self._check(length)
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.length, width),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
        )

    def _infer_grid(self, length):
        if length is None:
            raise ValueError("PositionEmbedding needs a grid_size where the length is not fixed.")
        choices = (1, 0) if self.num_prefix_tokens is None else (self.num_prefix_tokens,)
        for prefix in choices:
            side = math.isqrt(max(length - prefix, 0))
            if side and side * side == length - prefix:
                self.grid_size, self.num_prefix_tokens = (side, side), prefix
                return
        self.num_prefix_tokens = choices[-1]
        self.grid_size = (length - self.num_prefix_tokens,)

    def _check(self, length):
        line = len(self.grid_size) == 1
        if length is None or length == self.length or (line and length < self.length):
            return
        raise ValueError(
            f"PositionEmbedding holds {self.length} positions (grid {self.grid_size}, "
            f"{self.num_prefix_tokens} prefix tokens) but the sequence has {length} tokens: "
            + ("shorten the text." if line else "give pictures of the size that it was built for.")
        )

    def call(self, x):
        length = x.shape[1] if isinstance(x.shape[1], int) else None  # JAX exports with symbols
        self._check(length)
        if length == self.length or len(self.grid_size) > 1:
            return x + self.embeddings
        if length is not None:
            return x + self.embeddings[:length]
        return x + ops.take(self.embeddings, ops.arange(ops.shape(x)[1]), axis=0)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "grid_size": self.grid_size,
            "num_prefix_tokens": self.num_prefix_tokens,
        }
