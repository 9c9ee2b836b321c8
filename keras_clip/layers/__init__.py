"""Layers of vision transformers and CLIP, each usable alone in any Keras model."""

from keras_clip.layers.attention import SelfAttention
from keras_clip.layers.attention_pooling import AttentionPooling
from keras_clip.layers.bottleneck_block import BottleneckBlock
from keras_clip.layers.class_token import ClassToken
from keras_clip.layers.first_token_attention import FirstTokenAttention
from keras_clip.layers.layer_norm import LayerNorm
from keras_clip.layers.layer_scale import LayerScale
from keras_clip.layers.logit_scale import LogitScale
from keras_clip.layers.mean_token import MeanToken
from keras_clip.layers.mlp import MLP
from keras_clip.layers.naflex_position_embedding import NaFlexPositionEmbedding
from keras_clip.layers.patch_dropout import PatchDropout
from keras_clip.layers.patch_embedding import PatchEmbedding
from keras_clip.layers.patch_mask import PatchMask
from keras_clip.layers.pooling import EndOfTextPooling, TokenPooling
from keras_clip.layers.position_embedding import PositionEmbedding
from keras_clip.layers.predictions import Predictions
from keras_clip.layers.register_tokens import RegisterTokens
from keras_clip.layers.stochastic_depth import StochasticDepth
from keras_clip.layers.transformer_encoder_block import TransformerEncoderBlock
from keras_clip.layers.unit_norm import UnitNorm

__all__ = [
    "MLP",
    "AttentionPooling",
    "BottleneckBlock",
    "ClassToken",
    "EndOfTextPooling",
    "FirstTokenAttention",
    "LayerNorm",
    "LayerScale",
    "LogitScale",
    "MeanToken",
    "NaFlexPositionEmbedding",
    "PatchDropout",
    "PatchEmbedding",
    "PatchMask",
    "PositionEmbedding",
    "Predictions",
    "RegisterTokens",
    "SelfAttention",
    "StochasticDepth",
    "TokenPooling",
    "TransformerEncoderBlock",
    "UnitNorm",
]
