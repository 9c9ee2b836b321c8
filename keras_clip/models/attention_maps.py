"""What each block of a tower attends to, and what its pooling does."""

import keras
import numpy as np

from keras_clip.layers import AttentionPooling, FirstTokenAttention, TransformerEncoderBlock

POOLS = (FirstTokenAttention, AttentionPooling)


def attention_maps(model, inputs):
    """Attention weights of every block: a batch -> (layers, B, heads, N, N) float32 NumPy.

    The model stays as it is: no node is added to its graph. Row q of a map holds the weights with
    which token q looks at each token; tokens are in the order of the sequence, prefix first.

    Args:
        model: a ViT, or a tower of a CLIP, such as `clip.get_layer("vision")`.
        inputs: a batch for it, normalised pixels or token ids. All maps are held in memory:
            4 * layers * B * heads * N * N bytes.

    Raises:
        ValueError: the model has no transformer blocks of its own.
    """
    blocks = [layer for layer in model.layers if isinstance(layer, TransformerEncoderBlock)]
    if not blocks:
        raise ValueError(
            f"The model {model.name!r} has no transformer blocks of its own: pass a ViT, or a "
            'tower such as clip.get_layer("vision"); a ResNet has pooling_attention.'
        )
    return np.stack(_scores(model, inputs, blocks))


def pooling_attention(model, inputs):
    """Weights with which a pooling by attention looks at its tokens: -> (B, heads, N) float32.

    A ResNet's first token is the mean of the others, which are the cells of its grid.

    Args:
        model: an image tower whose pooling is by attention: a CLIP's ResNet, or a SigLIP's.
        inputs: a batch for it, as `image_processor` gives.

    Raises:
        ValueError: the model has no such pooling.
    """
    pool = find_pool(model)
    if pool is None:
        raise ValueError(
            f"The model {model.name!r} has no pooling by attention: what its class token looks at "
            "is row 0 of its attention_maps."
        )
    (scores,) = _scores(model, inputs, [pool])
    return scores[:, :, 0]


def find_pool(model):
    """The layer of a tower that pools by attention, or None."""
    return next((layer for layer in model.layers if isinstance(layer, POOLS)), None)


def entering(model, inputs, layers):
    """What some layers of a model are given for a batch: a list of tensors for each.

    They are the tokens, and a padding mask where the layer is given one.
    """
    symbols = {layer.name: keras.tree.flatten(layer.input) for layer in layers}
    arrays = keras.Model(model.input, symbols).predict_on_batch(inputs)
    found = []
    for layer in layers:
        flat = keras.tree.flatten(arrays[layer.name])
        found.append([keras.ops.convert_to_tensor(x, layer.compute_dtype) for x in flat])
    return found


def _scores(model, inputs, layers):
    """Attention weights of each layer, float32 NumPy."""
    found = []
    for layer, arguments in zip(layers, entering(model, inputs, layers), strict=True):
        # A block and a pooling take their tokens and padding mask in the same places.
        _, scores = layer(*arguments, return_attention_scores=True)
        found.append(keras.ops.convert_to_numpy(keras.ops.cast(scores, "float32")))
    return found
