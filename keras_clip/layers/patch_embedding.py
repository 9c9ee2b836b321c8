"""Images cut into patches, each patch one token."""

import keras
from keras import ops

from keras_clip.layers.dense import linear
from keras_clip.layers.layer_state import KeepsState


@keras.saving.register_keras_serializable(package="keras_clip")
class PatchEmbedding(KeepsState, keras.layers.Layer):
    """Embed non-overlapping patches: (B, H, W, C) -> (B, H/ph * W/pw, hidden_dim).

    Tokens go row by row from the top left. The weight is a convolution kernel, computed as one
    matrix product, which on CPU was never slower than the convolution (`benchmarks/layers.py`).

    Args:
        hidden_dim: int. Width of a token.
        patch_size: int or (height, width), in pixels.
        use_bias: bool. CLIP has none, the original ViT has one.

    Raises:
        ValueError: the image's height or width is not a multiple of the patch's.

    Reference: "An Image is Worth 16x16 Words" (arXiv 2010.11929), section 3.1.
    """

    def __init__(self, hidden_dim, patch_size, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        pair = (patch_size, patch_size) if isinstance(patch_size, int) else patch_size
        self.patch_size = tuple(pair)
        self.use_bias = use_bias
        if len(self.patch_size) != 2 or min(self.patch_size) < 1:
            raise ValueError(f"patch_size is a positive int or a pair of them, not {patch_size}.")

    def build(self, input_shape):
        if len(input_shape) != 4:
            raise ValueError(f"PatchEmbedding takes images (B, H, W, C), not {input_shape}.")
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.patch_size, input_shape[-1], self.hidden_dim),
            initializer="glorot_uniform",
        )
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.hidden_dim,), initializer="zeros")

    def _grid(self, input_shape):
        sides = []
        for side, patch in zip(input_shape[1:3], self.patch_size, strict=True):
            if side is not None and side % patch:
                raise ValueError(
                    f"An image of {input_shape[1]} x {input_shape[2]} pixels is not divisible "
                    f"into patches of {self.patch_size[0]} x {self.patch_size[1]}: resize or pad "
                    "it to a multiple."
                )
            sides.append(None if side is None else side // patch)
        return sides

    def call(self, images):
        (gh, gw), (ph, pw) = self._grid(images.shape), self.patch_size
        channels = images.shape[-1]
        if gh is None or gw is None:
            gh, gw = ops.shape(images)[1] // ph, ops.shape(images)[2] // pw
        x = ops.reshape(images, (-1, gh, ph, gw, pw, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        x = ops.reshape(x, (-1, gh * gw, ph * pw * channels))
        kernel = ops.reshape(self.kernel, (ph * pw * channels, self.hidden_dim))
        return linear(x, kernel, self.bias if self.use_bias else None)

    def compute_output_shape(self, input_shape):
        gh, gw = self._grid(input_shape)
        tokens = None if gh is None or gw is None else gh * gw
        return (input_shape[0], tokens, self.hidden_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "patch_size": self.patch_size,
            "use_bias": self.use_bias,
        }
