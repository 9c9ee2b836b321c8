"""What of a model trains: all of it, its end, or all but one tower.

Layers are frozen by `trainable`, which a saved model keeps. Compile a model after any of these.
"""

import re

import keras

from keras_clip.layers.layer_state import walk
from keras_clip.models.clip import require_clip

_BLOCK = re.compile(r"(stage_\d+_)?block_\d+")  # of a transformer, or of CLIP's ResNets


def full(model, batch_norm=False):
    """Let everything in a model train: the same model.

    Args:
        model: keras.Model: a CLIP, a ViT, a tower or a classifier.
        batch_norm: bool. Whether batch norms train too and use the statistics of a batch. By
            default they keep the pretrained ones, since those of a small batch are worse, and
            change with every step.

    Returns:
        The model.

    Raises:
        ValueError: it has adapters, beside which the weights themselves would train.
    """
    layers = [model, *(layer for _, layer in walk(model))]
    if any(getattr(layer, "lora_enabled", False) for layer in layers):
        raise ValueError(f"{model.name!r} has adapters: say what trains before lora(model).")
    for layer in layers:
        # Keras on TensorFlow does nothing where the value is the same, whatever is inside.
        layer.trainable = False
        layer.trainable = True
    return model if batch_norm else freeze_batch_norms(model)


def freeze_batch_norms(model):
    """Let batch norms compute with their running statistics, and change nothing: the same model."""
    for _, layer in walk(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    return model


def partial(model, blocks=2):
    """Let only the last blocks train, and what stands behind them: the same model.

    Behind the blocks are the last norm, the pooling, the projection and the head; of a CLIP, both
    towers are treated so, and the logit scale trains.

    Args:
        model: a CLIP, a ViT, a tower, or a classifier on one.
        blocks: int, of each tower; 0: none of them. Blocks of a ResNet count as those of a ViT.

    Returns:
        The model.

    Raises:
        ValueError: a tower has fewer blocks, or none.
    """
    full(model)
    inner = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    for tower in inner or [model]:
        _freeze_before(tower, blocks)
    return model


def _freeze_before(tower, blocks):
    """Freeze the layers of a tower before its last blocks."""
    layers = tower.layers
    starts = [place for place, layer in enumerate(layers) if _BLOCK.fullmatch(layer.name)]
    if not starts:
        raise ValueError(f"{tower.name!r} has no layers block_0, block_1, ... to count from.")
    if not 0 <= blocks <= len(starts):
        raise ValueError(f"blocks is 0 to {len(starts)}, which {tower.name!r} has; not {blocks}.")
    first = starts[-blocks] if blocks else starts[-1] + 1
    for layer in layers[:first]:
        layer.trainable = False


def only_head(model):
    """Let only the head of a classifier train, on frozen features: the same model.

    Args:
        model: a classifier with a layer `head`.

    Returns:
        The model.

    Raises:
        ValueError: there is no such layer.
    """
    names = {layer.name for layer in model.layers}
    if "head" not in names:
        raise ValueError(f"{model.name!r} has no layer `head`: make a classifier first.")
    for layer in model.layers:
        layer.trainable = layer.name == "head"
    return model


def lit(clip):
    """Lock the image tower of a CLIP, so that the text tower learns to read it: the same CLIP.

    Args:
        clip: CLIP.

    Returns:
        The CLIP, with the text tower and the logit scale to train.

    Raises:
        ValueError: it is no CLIP.

    Reference: "LiT: Zero-Shot Transfer with Locked-image text Tuning" (arXiv 2111.07991),
    section 3.
    """
    full(require_clip(clip, "The model"))
    clip.get_layer("vision").trainable = False
    return clip
