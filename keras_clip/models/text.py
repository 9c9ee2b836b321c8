"""CLIP's text transformer."""

import keras

from keras_clip.layers import EndOfTextPooling, PositionEmbedding, TokenPooling
from keras_clip.models.encoder import encode, project
from keras_clip.models.tower import make_tower


def text_tower(config, name="text"):
    """Build the text tower: token_ids (B, T) int32 with T <= context_length -> (B, projection_dim).

    Args:
        config: TextConfig.
        name: str.

    Reference: "Learning Transferable Visual Models" (arXiv 2103.00020), section 2.4.
    """
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    x = keras.layers.Embedding(config.vocabulary_size, config.hidden_dim, name="token_embedding")(
        token_ids
    )
    x = PositionEmbedding((config.context_length,), name="position_embedding")(x)
    x = encode(x, config, causal=config.causal)
    if config.pooling == "last":
        x = TokenPooling("last", name="pooling")(x)
    else:
        end = config.end_token_id if config.pooling == "end_token" else None
        x = EndOfTextPooling(end, name="pooling")(x, token_ids)
    return make_tower(token_ids, project(x, config.projection_dim), name)
