"""The embeddings of a batch of pairs, as a step of training computes them."""

import keras
from keras import ops

from keras_clip.models.chunked import embed_chunks

TOWERS = (
    ("vision", "images", "image_embeddings"),
    ("text", "token_ids", "text_embeddings"),
)


def flat_captions(inputs):
    """Turn token ids (n, K, T) of {"images", "token_ids"} into (n * K, T)."""
    token_ids = inputs.get("token_ids") if isinstance(inputs, dict) else None
    if len(getattr(token_ids, "shape", ())) != 3:
        return inputs
    return {**inputs, "token_ids": ops.reshape(token_ids, (-1, token_ids.shape[-1]))}


def embed_pairs(clip, inputs, chunk_size, training):
    """Embed images and texts, chunk by chunk where a size is given.

    Args:
        clip: CLIP.
        inputs: {"images", "token_ids": (m, T)}.
        chunk_size: int or None.
        training: bool.

    Returns:
        {"image_embeddings": (n, dim), "text_embeddings": (m, dim)}, of unit length.

    Raises:
        ValueError: the training of a tower is no sum over chunks.
    """
    outputs = {}
    for name, key, output in TOWERS:
        tower, rows = clip.get_layer(name), inputs[key]
        if chunk_size:
            _check_chunks(tower, training)
            rows = embed_chunks(tower, rows, chunk_size, training)
        else:
            rows = tower(rows, training=training)
        outputs[output] = clip.get_layer(output)(rows)
    return outputs


def _check_chunks(tower, training):
    if training and any(
        isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        for layer in tower._flatten_layers()
    ):
        raise ValueError(
            f"The tower {tower.name!r} has batch norms, whose statistics are of the whole batch, "
            "so that chunks would change the gradients: compile without chunk_size, or freeze them "
            "with trainable = False."
        )
