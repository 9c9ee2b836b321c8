"""Models small enough to build and train in a test."""

from pathlib import Path

import numpy as np

from keras_clip.models.clip import CLIP
from keras_clip.models.config import CLIPConfig, TextConfig, ViTConfig
from keras_clip.models.vit import ViT
from keras_clip.preprocessing.tokenizer import CLIPTokenizer

VOCABULARY = Path(__file__).parent / "fixtures" / "tokenizer" / "tiny_vocabulary.txt.gz"
ENCODER = {"hidden_dim": 8, "num_layers": 2, "num_heads": 2, "mlp_dim": 12}
IMAGE_SIZE = (8, 12)
CONTEXT = 16


def tiny_vit(dtype=None, **changes):
    config = ViTConfig(**{**ENCODER, "patch_size": 4, "image_size": IMAGE_SIZE, **changes})
    return ViT(config, dtype=dtype)


def tiny_tokenizer():
    return CLIPTokenizer.from_file(VOCABULARY, context_length=CONTEXT)


def tiny_text_config(**changes):
    text = {"vocabulary_size": 603, "context_length": CONTEXT, **ENCODER, "num_layers": 1}
    return TextConfig(**{**text, **changes}, projection_dim=6)


def tiny_clip(dtype=None, tokenizer=None, text=None, **changes):
    """A CLIP of two towers of one layer; `text` and `changes` are fields of its configurations."""
    encoder = {**ENCODER, "num_layers": 1}
    vision = {"patch_size": 4, "image_size": IMAGE_SIZE, "use_norm_pre": True, "epsilon": 1e-5}
    vision = {**encoder, **vision, "projection_dim": 6, **changes}
    config = CLIPConfig(ViTConfig(**vision), tiny_text_config(**text or {}))
    return CLIP(config, tokenizer, dtype=dtype)


def tiny_images(count):
    return np.random.default_rng(0).normal(size=(count, *IMAGE_SIZE, 3)).astype("float32")


def tiny_token_ids(count):
    """Rows of start, some ids, end (the highest id) and padding."""
    random = np.random.default_rng(1)
    ids = np.zeros((count, CONTEXT), "int32")
    for row in ids:
        length = random.integers(1, CONTEXT - 2)
        row[: length + 2] = [601, *random.integers(1, 601, length), 602]
    return ids


def tiny_pairs(count):
    return {"images": tiny_images(count), "token_ids": tiny_token_ids(count)}
