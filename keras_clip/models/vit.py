"""The vision transformer, for classification, features, and as CLIP's image tower."""

import keras

from keras_clip.layers import ClassToken, LayerNorm, PatchEmbedding, PositionEmbedding, TokenPooling
from keras_clip.models import preset_directory
from keras_clip.models.config import ViTConfig
from keras_clip.models.encoder import encode, project
from keras_clip.models.policy import policy_scope
from keras_clip.models.tower import Tower
from keras_clip.preprocessing.images import ImageProcessor


def vision_graph(config):
    """Build the graph of a ViT: (images, output), symbolic.

    The output is (B, projection_dim) with a projection, (B, num_classes) with a head, else the
    tokens after the final norm, (B, prefix + patches, D).
    """
    images = keras.Input((*config.image_size, 3), name="images")
    x = PatchEmbedding(
        config.hidden_dim, config.patch_size, config.use_patch_bias, name="patch_embedding"
    )(images)
    if config.num_prefix_tokens:
        x = ClassToken(config.num_prefix_tokens, name="class_token")(x)
    x = PositionEmbedding(config.grid_size, config.num_prefix_tokens, name="position_embedding")(x)
    if config.use_norm_pre:
        x = LayerNorm(config.epsilon, name="norm_pre")(x)
    x = encode(x, config)
    if config.projection_dim or config.num_classes:
        x = TokenPooling(config.pooling, config.num_prefix_tokens, name="pooling")(x)
    if config.projection_dim:
        x = project(x, config.projection_dim)
    if config.num_classes:
        if config.pre_logits_dim:
            x = keras.layers.Dense(config.pre_logits_dim, activation="tanh", name="pre_logits")(x)
        # float32, so that probabilities and the loss keep their precision in mixed policies.
        x = keras.layers.Dense(config.num_classes, name="head", dtype="float32")(x)
        if config.head_activation:
            x = keras.layers.Activation(
                config.head_activation, name="predictions", dtype="float32"
            )(x)
    return images, x


@keras.saving.register_keras_serializable(package="keras_clip")
class ViT(Tower):
    """A vision transformer: images (B, H, W, 3), float, normalised -> see `vision_graph`.

    Every intermediate is ordinary Keras:
    `keras.Model(vit.input, vit.get_layer("block_3").output)`.

    Args:
        config: ViTConfig, or its dictionary.
        dtype: dtype policy, such as `mixed_bfloat16`; None: Keras's global one.
        name: str.

    Reference: "An Image is Worth 16x16 Words" (arXiv 2010.11929).
    """

    def __init__(self, config, dtype=None, name="vit", **kwargs):
        config = ViTConfig.from_dict(config) if isinstance(config, dict) else config
        with policy_scope(dtype):
            images, outputs = vision_graph(config)
            with keras.RematScope(mode=None):  # its layers are rematerialised, not the whole
                super().__init__(images, outputs, name=name, **kwargs)
            self(images)  # Keras exports to ONNX only what has been called
        self.config = config

    @property
    def image_processor(self):
        """Raw pictures -> (n, H, W, 3) float32, as this model was trained with."""
        return ImageProcessor(self.config.image)

    def save_to_preset(self, directory, dtype=None):
        """Write configuration and weights; `from_preset` on it gives this model back.

        Args:
            directory: path, created.
            dtype: str or None. Store floating weights as e.g. `float16`; None: as they are.
        """
        preset_directory.save(self, directory, "vit", None, dtype)

    def get_config(self):
        return {
            "config": self.config.to_dict(),
            "dtype": self.dtype_policy.name,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)
