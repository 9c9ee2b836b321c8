"""The weights of a model by the names that presets and checkpoint tables use."""

import keras


def named_weights(model):
    """Return {name: variable}: tower name + path, since a path alone repeats across towers.

    Args:
        model: a built ViT or CLIP, or any Functional model that holds towers.
    """
    return {f"{prefix}{v.path}": v for prefix, layer in _parts(model) for v in layer.weights}


def named_variables(model):
    """Return {name: variable} of all that `model.variables` has, each once; weights as above.

    Args:
        model: as of `named_weights`. States of random generators may share a path, and are counted.
    """
    names = {id(v): f"{prefix}{v.path}" for prefix, layer in _parts(model) for v in layer.variables}
    named = {}
    for variable in model.variables:
        name = path = names.get(id(variable), variable.path)
        number = 1
        while name in named:
            number += 1
            name = f"{path}_{number}"
        named[name] = variable
    return named


def _parts(model):
    for layer in model.layers:
        yield (f"{layer.name}/" if isinstance(layer, keras.Model) else ""), layer
