"""CLIP's text transformer."""

import keras

from keras_clip.layers import EndOfTextPooling, PositionEmbedding, TokenPooling
from keras_clip.layers.adaptable import Embedding
from keras_clip.models.encoder import encode, final_norm, project


def text_graph(config):
    """Build the graph of a text tower: (token_ids, output), symbolic.

    Token ids are (B, T) int32 with T <= context_length, the output is (B, projection_dim).

    Args:
        config: TextConfig.

    Reference: "Learning Transferable Visual Models" (arXiv 2103.00020), section 2.4.
    """
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    x = Embedding(config.vocabulary_size, config.hidden_dim, name="token_embedding")(token_ids)
    x = PositionEmbedding((config.context_length,), name="position_embedding")(x)
    x = final_norm(encode(x, config, causal=config.causal), config)
    if config.pooling == "last":
        x = TokenPooling("last", name="pooling")(x)
    else:
        end = config.end_token_id if config.pooling == "end_token" else None
        x = EndOfTextPooling(end, name="pooling")(x, token_ids)
    return token_ids, project(x, config)
