"""The vision transformer, for classification, features, and as CLIP's image tower."""

import keras

from keras_clip.layers import (
    AttentionPooling,
    ClassToken,
    LayerNorm,
    PatchDropout,
    PatchEmbedding,
    PositionEmbedding,
    RegisterTokens,
    TokenPooling,
)
from keras_clip.layers.adaptable import Dense
from keras_clip.models.config import ViTConfig
from keras_clip.models.encoder import encode, final_norm, project
from keras_clip.models.policy import policy_scope
from keras_clip.models.preset_model import PresetModel
from keras_clip.models.tower import Tower
from keras_clip.preprocessing.images import ImageProcessor


def vision_graph(config):
    """Build the graph of a ViT: (images, output), symbolic.

    The output is (B, projection_dim) with a projection, (B, num_classes) with a head, (B, D) with
    attention pooling alone, else the tokens after the final norm, (B, prefix + registers +
    patches, D).
    """
    images = keras.Input((*config.image_size, 3), name="images")
    x = PatchEmbedding(
        config.hidden_dim, config.patch_size, config.use_patch_bias, name="patch_embedding"
    )(images)
    tokens = encode(_add_positions(x, config), config)
    if config.final_norm == "tokens":
        tokens = final_norm(tokens, config)
    if not config.is_pooled:
        return images, tokens
    x = _pooling(config)(tokens)
    if config.final_norm == "pooled":
        x = final_norm(x, config)
    if config.projection_dim:
        x = project(x, config)
    return images, _classify(x, tokens, config) if config.num_classes else x


def _add_positions(x, config):
    """Put the prefix before the patches, add positions, insert registers, drop patches."""
    prefix = config.num_prefix_tokens
    positions = PositionEmbedding(
        config.grid_size, config.num_position_tokens, name="position_embedding"
    )
    if not config.use_prefix_positions:
        x = positions(x)
    if prefix:
        x = ClassToken(prefix, name="class_token")(x)
    if config.use_prefix_positions:
        x = positions(x)
    if config.num_register_tokens:
        x = RegisterTokens(config.num_register_tokens, prefix, name="register_tokens")(x)
    if config.patch_dropout_rate:
        kept = prefix + config.num_register_tokens
        x = PatchDropout(config.patch_dropout_rate, kept, name="patch_dropout")(x)
    return LayerNorm(config.epsilon, name="norm_pre")(x) if config.use_norm_pre else x


def _pooling(config):
    if config.pooling == "attention":
        return AttentionPooling(
            config.num_heads, config.mlp_dim, config.activation, config.epsilon, name="pooling"
        )
    prefix = config.num_prefix_tokens + config.num_register_tokens
    return TokenPooling(config.pooling, prefix, name="pooling")


def _classify(x, tokens, config):
    if config.pre_logits_dim:
        x = Dense(config.pre_logits_dim, activation="tanh", name="pre_logits")(x)
    # float32, so that probabilities and the loss keep their precision in mixed policies.
    x = Dense(config.num_classes, name="head", dtype="float32")(x)
    if config.use_distillation_head:
        head = Dense(config.num_classes, name="head_distillation", dtype="float32")
        average = keras.layers.Average(name="head_mean", dtype="float32")
        x = average([x, head(tokens[:, 1])])
    if config.head_activation:
        x = keras.layers.Activation(config.head_activation, name="predictions", dtype="float32")(x)
    return x


@keras.saving.register_keras_serializable(package="keras_clip")
class ViT(PresetModel, Tower):
    """A vision transformer: images (B, H, W, 3), float, normalised -> see `vision_graph`.

    Every intermediate is ordinary Keras:
    `keras.Model(vit.input, vit.get_layer("block_3").output)`.

    Args:
        config: ViTConfig, or its dictionary.
        dtype: dtype policy, such as `mixed_bfloat16`; None: Keras's global one.
        name: str.

    Reference: "An Image is Worth 16x16 Words" (arXiv 2010.11929).
    """

    FAMILY = "vit"

    def __init__(self, config, dtype=None, name="vit", **kwargs):
        config = ViTConfig.from_dict(config) if isinstance(config, dict) else config
        with policy_scope(dtype):
            images, outputs = vision_graph(config)
            with keras.RematScope(mode=None):  # its layers are rematerialised, not the whole
                super().__init__(images, outputs, name=name, **kwargs)
        self.config = config

    @property
    def image_processor(self):
        """Raw pictures -> (n, H, W, 3) float32, as this model was trained with."""
        return ImageProcessor(self.config.image)
