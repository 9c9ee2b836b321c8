"""What each block of a tower attends to."""

import keras
import numpy as np

from keras_clip.layers import TransformerEncoderBlock


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
            'tower such as clip.get_layer("vision").'
        )
    # Tokens, and a padding mask where the block is given one.
    entering = {block.name: keras.tree.flatten(block.input) for block in blocks}
    arrays = keras.Model(model.input, entering).predict_on_batch(inputs)
    maps = []
    for block in blocks:
        found = keras.tree.flatten(arrays[block.name])
        x, *mask = (keras.ops.convert_to_tensor(t, block.compute_dtype) for t in found)
        _, scores = block(x, *mask, return_attention_scores=True, training=False)
        maps.append(keras.ops.convert_to_numpy(keras.ops.cast(scores, "float32")))
    return np.stack(maps)
