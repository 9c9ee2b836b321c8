"""SigLIP 2's NaFlex image tower: patches of a picture at its own proportions."""

from dataclasses import dataclass, field, replace

import keras

from keras_clip.layers import AttentionPooling, NaFlexPositionEmbedding, PatchMask
from keras_clip.layers.adaptable import Dense
from keras_clip.models.config_base import Config, pair
from keras_clip.models.encoder import encode, final_norm
from keras_clip.preprocessing.naflex_images import NaFlexImageConfig


@dataclass(frozen=True)
class NaFlexConfig(Config):
    """A vision transformer for pictures of any proportions, pooled by attention.

    Args:
        hidden_dim, num_layers, num_heads, mlp_dim: the encoder's sizes.
        patch_size: int or (height, width) in pixels; both are equal.
        grid_size: (height, width) of the learned positions, resampled for every picture.
        activation, epsilon: as in `ViTConfig`.
        dropout_rate, stochastic_depth_rate: as in `ViTConfig`.
        image: how pictures become patches; its patch size always is `patch_size`.
    """

    hidden_dim: int
    num_layers: int
    num_heads: int
    mlp_dim: int
    patch_size: tuple = (16, 16)
    grid_size: tuple = (16, 16)
    activation: str = "gelu_tanh"
    epsilon: float = 1e-6
    dropout_rate: float = 0.0
    stochastic_depth_rate: float = 0.0
    image: NaFlexImageConfig = field(default_factory=NaFlexImageConfig)

    num_classes = 0
    is_pooled = True
    pooling = "attention"

    def __post_init__(self):
        object.__setattr__(self, "patch_size", pair(self.patch_size))
        object.__setattr__(self, "grid_size", pair(self.grid_size))
        object.__setattr__(self, "image", replace(self.image, patch_size=self.patch_size))
        self._check_encoder()
        if self.patch_size[0] != self.patch_size[1]:
            raise ValueError(f"patch_size is square in a NaFlex model, not {self.patch_size}.")

    @staticmethod
    def nested(name, values):
        """Build the configuration in field `name`."""
        return NaFlexImageConfig.from_dict(values)

    @property
    def embedding_dim(self):
        """Width of the output."""
        return self.hidden_dim


def naflex_graph(config):
    """Build the graph: ({"patches", "grid_sizes"}, output (B, D)), symbolic.

    `patches` are (B, N, height * width * 3) float, normalised, filled up with anything;
    `grid_sizes` (B, 2) int32, the patches down and across. `NaFlexImageProcessor` makes both.

    Args:
        config: NaFlexConfig.

    Reference: "SigLIP 2" (arXiv 2502.14786), section 2.4.2; google-research/big_vision
    `models/proj/image_text/naflex_vit.py`.
    """
    height, width = config.patch_size
    patches = keras.Input((None, height * width * 3), name="patches")
    grid_sizes = keras.Input((2,), dtype="int32", name="grid_sizes")
    x = Dense(config.hidden_dim, name="patch_embedding")(patches)
    x = NaFlexPositionEmbedding(config.grid_size, name="position_embedding")(x, grid_sizes)
    mask = PatchMask(name="patch_mask")(patches, grid_sizes)
    x = final_norm(encode(x, config, padding_mask=mask), config)
    pooling = AttentionPooling(
        config.num_heads, config.mlp_dim, config.activation, config.epsilon, name="pooling"
    )
    return {"patches": patches, "grid_sizes": grid_sizes}, pooling(x, padding_mask=mask)
