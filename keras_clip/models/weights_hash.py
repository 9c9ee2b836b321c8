"""What tells one model's weights from another's, in sixteen letters."""

import hashlib

import keras
import numpy as np

from keras_clip.models.weights import named_weights


def weights_hash(model, weights=None):
    """The first 16 hex digits of SHA-256 over a model's weights: the same on every backend.

    Names, shapes, dtypes and bytes are hashed, by sorted names. A tower inside a CLIP and the same
    tower alone have one hash.

    Args:
        model: a built ViT, CLIP or tower.
        weights: {name: variable}, some of them; None: all.

    Returns:
        str of 16 characters.
    """
    digest = hashlib.sha256()
    for name, variable in sorted((named_weights(model) if weights is None else weights).items()):
        array = np.ascontiguousarray(keras.ops.convert_to_numpy(variable.value))
        digest.update(f"{name} {array.dtype} {tuple(variable.shape)}\n".encode())
        digest.update(array.reshape(-1).view("uint8"))  # bfloat16 has no buffer of its own
    return digest.hexdigest()[:16]
