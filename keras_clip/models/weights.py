"""The weights of a model by the names that presets and checkpoint tables use."""

import keras


def named_weights(model):
    """Return {name: variable}: tower name + path, since a path alone repeats across towers.

    Args:
        model: a built ViT or CLIP, or any Functional model that holds towers.
    """
    named = {}
    for layer in model.layers:
        prefix = f"{layer.name}/" if isinstance(layer, keras.Model) else ""
        named.update({prefix + variable.path: variable for variable in layer.weights})
    return named
