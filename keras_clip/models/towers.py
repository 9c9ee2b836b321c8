"""CLIP's towers, each usable alone."""

import keras

from keras_clip.models import embedding
from keras_clip.models.config import (
    NaFlexConfig,
    ResNetConfig,
    TextConfig,
    ViTConfig,
    vision_config,
)
from keras_clip.models.naflex import naflex_graph
from keras_clip.models.policy import policy_scope
from keras_clip.models.preset_model import PresetModel, Tokenized
from keras_clip.models.resnet import resnet_graph
from keras_clip.models.text import text_graph
from keras_clip.models.tower import Tower
from keras_clip.models.vit import vision_graph
from keras_clip.preprocessing.images import ImageProcessor
from keras_clip.preprocessing.naflex_images import NaFlexImageProcessor

GRAPHS = {ViTConfig: vision_graph, ResNetConfig: resnet_graph, NaFlexConfig: naflex_graph}


@keras.saving.register_keras_serializable(package="keras_clip")
class VisionTower(PresetModel, Tower):
    """The image tower of a CLIP: pixels (B, H, W, 3), normalised -> (B, dim), NOT of unit length.

    A NaFlex tower takes {"patches", "grid_sizes"} instead (see `naflex_graph`).

    Args:
        config: ViTConfig, ResNetConfig or NaFlexConfig, or its dictionary.
        dtype: dtype policy, such as `mixed_bfloat16`; None: Keras's global one.
        name: str.
    """

    FAMILY = "clip_vision"

    def __init__(self, config, dtype=None, name="vision", **kwargs):
        config = vision_config(config) if isinstance(config, dict) else config
        with policy_scope(dtype):
            images, outputs = GRAPHS[type(config)](config)
            with keras.RematScope(mode=None):  # its layers are rematerialised, not the whole
                super().__init__(images, outputs, name=name, **kwargs)
        self.config = config

    @property
    def image_processor(self):
        """Raw pictures -> this tower's input, as it was trained with."""
        naflex = isinstance(self.config, NaFlexConfig)
        return (NaFlexImageProcessor if naflex else ImageProcessor)(self.config.image)

    def embed_images(self, images, batch_size=32, progress=None):
        """Embed raw pictures: n of them -> (n, dim) float32 NumPy, unit length.

        Args:
            images: list of paths, bytes, file objects, PIL pictures or uint8 arrays; or one of
                them; or a uint8 array (n, H, W, 3).
            batch_size: int. Pictures a step.
            progress: bool or None. None: a bar for long work on a terminal.

        Raises:
            ImageError: a picture cannot be read; the message names it.
        """
        return embedding.embed_images(self, self.image_processor, images, batch_size, progress)


@keras.saving.register_keras_serializable(package="keras_clip")
class TextTower(PresetModel, Tokenized, Tower):
    """The text tower of a CLIP: token ids (B, T) int32 -> (B, dim), NOT of unit length.

    Args:
        config: TextConfig, or its dictionary.
        tokenizer: CLIPTokenizer or None; without it, raw strings cannot be embedded.
        dtype: dtype policy, such as `mixed_bfloat16`; None: Keras's global one.
        name: str.
    """

    FAMILY = "clip_text"

    def __init__(self, config, tokenizer=None, dtype=None, name="text", **kwargs):
        config = TextConfig.from_dict(config) if isinstance(config, dict) else config
        with policy_scope(dtype):
            token_ids, outputs = text_graph(config)
            with keras.RematScope(mode=None):  # its layers are rematerialised, not the whole
                super().__init__(token_ids, outputs, name=name, **kwargs)
        self.config = config
        self._tokenizer = tokenizer

    def embed_texts(self, texts, batch_size=64, progress=None):
        """Embed strings: n of them -> (n, dim) float32 NumPy, unit length.

        Args:
            texts: str or list of str; too long ones are truncated with their end kept.
            batch_size: int. Texts a step.
            progress: bool or None. None: a bar for long work on a terminal.
        """
        return self.embed_token_ids(self.tokenizer(texts), batch_size, progress)

    def embed_token_ids(self, token_ids, batch_size=64, progress=None):
        """Embed tokenised texts: (n, T) int32 -> (n, dim) float32 NumPy, unit length."""
        return embedding.embed_texts(self, self.config, token_ids, batch_size, progress)
