"""Models of the same make: copied, compared, and what their weights are without adapters."""

import keras

from keras_clip.finetune.adapters import (
    adapted_layers,
    check_plain,
    merge_adapters,
    merged_weight,
)

# What two versions of one layer may differ in.
_FREE = ("trainable", "dtype", "build_config", "layer_state", "lora_rank", "lora_alpha")


def copied(model):
    """Make another model of the same configuration and weights; adapters are merged in it.

    Args:
        model: a CLIP, ViT, tower, or Functional model such as a classifier.

    Returns:
        keras.Model, not compiled, which shares nothing with the other.
    """
    made = type(model).from_config(model.get_config())
    if hasattr(model, "_tokenizer"):
        made._tokenizer = model._tokenizer
    if adapted_layers(made):
        merge_adapters(made)
    for weight, value in zip(made.weights, plain_weights(model), strict=True):
        weight.assign(value())
    return made


def plain_weights(model):
    """Functions that give each weight as NumPy, adapters merged, in the order of `model.weights`.

    Returns:
        list of functions without arguments, as many as the model has weights without adapters.
    """
    merged, left_out = {}, set()
    for _, layer in adapted_layers(model):
        merged[id(getattr(layer, f"_{layer.ADAPTED}"))] = layer
        left_out |= {id(getattr(layer, name)) for name in layer.factors}

    def value(weight):
        layer = merged.get(id(weight))
        if layer is None:
            return lambda: keras.ops.convert_to_numpy(weight)
        return lambda: merged_weight(layer)

    return [value(weight) for weight in model.weights if id(weight) not in left_out]


def adopt_tower(clip, classifier):
    """Give the image tower of a CLIP the weights that a classifier made of it has: the same CLIP.

    Args:
        clip: CLIP; the classifier may share its layers or not.
        classifier: a classifier of pixels on its image tower; adapters are merged on the way.
            Layers that it lacks, such as a projection behind its features, stay as they are.

    Returns:
        The CLIP.

    Raises:
        ValueError: it is no classifier on such a tower, or the CLIP has adapters.
    """
    check_plain(clip)
    classifier = copied(classifier) if adapted_layers(classifier) else classifier
    own = {layer.name: layer.weights for layer in clip.get_layer("vision").layers}
    made = {layer.name: layer.weights for layer in classifier.layers if layer.weights}
    made.pop("head", None)
    for name, weights in made.items():
        if [weight.shape for weight in own.get(name, ())] != [weight.shape for weight in weights]:
            raise ValueError(f"{classifier.name!r} is not made of this CLIP: {name} differs.")
    for name, weights in made.items():
        for weight, other in zip(own[name], weights, strict=True):
            weight.assign(keras.ops.copy(other))  # Keras on JAX deletes arrays that models share
    return clip


def check_alike(first, second):
    """Check that two models differ in their weights alone.

    Raises:
        ValueError: in anything else; the message names the first difference.
    """
    for ours, theirs in zip(_parts(first), _parts(second), strict=False):
        if ours != theirs:
            raise ValueError(
                f"The models are no two versions of one: {_shown(ours)} here is "
                f"{_shown(theirs)} there. Interpolate what was fine-tuned with what it came from."
            )
    shapes = [[tuple(weight.shape) for weight in model.weights] for model in (first, second)]
    adapters = [len(adapted_layers(model)) for model in (first, second)]
    if not any(adapters) and shapes[0] != shapes[1]:
        raise ValueError("The models are no two versions of one: their weights' shapes differ.")


def _parts(model):
    """What a model is made of, as comparable values, in its order."""
    if hasattr(model, "config"):
        return [("kind", type(model).__name__), *_items(model.config.to_dict(), "")]
    layers = [(layer.name, _settings(layer)) for layer in model.layers]
    return [*layers, ("layers", len(layers))]


def _items(values, path):
    found = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += _items(value, f"{path}{name}.")
        else:
            found.append((f"{path}{name}", value))
    return found


def _settings(layer):
    settings = {k: v for k, v in layer.get_config().items() if k not in _FREE}
    return type(layer).__name__, settings


def _shown(part):
    name, value = part
    return f"{name} ({str(value)[:80]})"
