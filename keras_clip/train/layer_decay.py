"""Learning rates that grow with the depth of a layer."""

import re

import keras

BLOCK = re.compile(r"block_\d+|stage_\d+_block_\d+")


def rate_multipliers(model, layer_decay):
    """Multiplier of the learning rate of each of a model's trainable variables, as a tuple.

    In every tower of n blocks, block i has layer_decay ** (n - i), all before the blocks
    layer_decay ** (n + 1), all behind them 1, as has all that is in no tower.

    Args:
        model: keras.Model: a CLIP, a tower, a ViT, or a model that holds towers.
        layer_decay: float in (0, 1].

    Raises:
        ValueError: `layer_decay` is out of range, or the model has no blocks.

    Reference: "BEiT" (arXiv 2106.08254), section 3.1; facebookresearch/mae `util/lr_decay.py`.
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay is above 0 and at most 1, not {layer_decay}.")
    rates = {}
    for tower in _towers(model):
        is_block = [bool(BLOCK.fullmatch(layer.name)) for layer in tower.layers]
        last = sum(is_block) + 1
        depth = 0
        for layer, block in zip(tower.layers, is_block, strict=True):
            behind = not block and depth == last - 1
            depth += block
            rate = layer_decay ** (0 if behind else last - depth)
            rates |= {id(variable): rate for variable in layer.trainable_variables}
    if not rates:
        raise ValueError(
            f"layer_decay needs a model with blocks; {model.name!r} has none: leave it out."
        )
    return tuple(rates.get(id(variable), 1.0) for variable in model.trainable_variables)


def _towers(model):
    """Yield the models in a model, itself included, that have blocks."""
    if any(BLOCK.fullmatch(layer.name) for layer in model.layers):
        yield model
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _towers(layer)
