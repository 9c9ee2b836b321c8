"""Where in a picture a text is: a vector for each patch, in the space that texts share."""

import keras
import numpy as np

from keras_clip.layers import TransformerEncoderBlock
from keras_clip.models.attention_maps import entering, find_pool
from keras_clip.models.batching import unit_rows
from keras_clip.models.grid import check_image_tower, grid_of, num_tokens_before


def dense_similarity(clip, images, text_vectors):
    """Cosines of each patch with each text: -> (B, h, w, texts) float32 NumPy.

    Args:
        clip: CLIP.
        images: a batch of pictures, as `clip.image_processor` gives; of a NaFlex model, of one
            grid.
        text_vectors: (texts, dim) of unit length, as `clip.embed_texts` gives.

    Raises:
        ValueError: `dense_embeddings` is not defined for the model, or the vectors have another
            width.
    """
    text_vectors = np.asarray(text_vectors, "float32")
    dim = clip.config.text.projection_dim
    if text_vectors.ndim != 2 or text_vectors.shape[1] != dim:
        raise ValueError(f"text_vectors is (texts, {dim}) in this model, not {text_vectors.shape}.")
    return dense_embeddings(clip.get_layer("vision"), images) @ text_vectors.T


def dense_embeddings(vision, images):
    """A vector of unit length for each patch: -> (B, h, w, dim) float32 NumPy.

    Nothing is trained for it, and the model stays as it is. The last attention is replaced by
    that of a token to itself alone, so that a vector says what is at its place and not what the
    picture is. In a ViT that is the last block's, of which only the value's way is left, without
    residual and perceptron; where the pooling is by attention, it is the pooling's.

    Args:
        vision: image tower of a CLIP.
        images: as of `dense_similarity`.

    Raises:
        ValueError: the tower pools its class token and the patches side by side.

    Reference: "Extract Free Dense Labels from CLIP" (arXiv 2112.01071), section 3.2; "ClearCLIP"
    (arXiv 2407.12442) for what is left out of the last block.
    """
    config = check_image_tower(vision)
    if getattr(config, "pooling", None) == "class_and_mean":
        raise ValueError("A patch alone has no vector where class token and mean are both taken.")
    down, across = grid_of(config, images)
    pool = find_pool(vision)
    last = pool or [x for x in vision.layers if isinstance(x, TransformerEncoderBlock)][-1]
    ((tokens, *_),) = entering(vision, images, [last])
    before = num_tokens_before(config)
    tokens = tokens[:, before : before + down * across]
    # Sequences of one token each: a pooling then has nothing else to look at.
    tokens = keras.ops.reshape(tokens, (-1, 1, tokens.shape[-1]))
    x = pool(tokens) if pool else _value(last, tokens)[:, 0]
    for name in ("norm", "projection"):
        x = vision.get_layer(name)(x) if _is_behind(vision, name, last) else x
    x = keras.ops.convert_to_numpy(keras.ops.cast(x, "float32"))
    return unit_rows(x).reshape(-1, down, across, x.shape[-1])


def _value(block, tokens):
    """The part of a block that carries what a token says: (B, N, D) -> (B, N, D)."""
    attention = block.attention
    value = keras.ops.split(attention.qkv(block.norm1(tokens)), 3, axis=-1)[2]
    x = attention.out(value)
    for layer in block.branch_ends[0]:
        x = layer(x, training=False)
    return x


def _is_behind(vision, name, layer):
    """Whether a model has a layer of this name, after another one."""
    names = [one.name for one in vision.layers]
    return name in names and names.index(name) > names.index(layer.name)
