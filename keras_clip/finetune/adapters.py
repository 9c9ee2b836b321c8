"""LoRA on both towers, by Keras's own `enable_lora`: on, off, and which weights there are."""

import re
from weakref import WeakSet

import keras

from keras_clip.finetune.freezing import freeze_batch_norms
from keras_clip.layers.adaptable import Adaptable
from keras_clip.layers.layer_state import KeepsState, track_variables, walk

TARGETS = "attention|mlp|pooling"
_FROZEN = WeakSet()  # layers that `lora` has frozen as a whole


def lora(model, rank=8, alpha=None, targets=TARGETS, train_head=True):
    """Put low-rank adapters into a model and freeze the rest: the same model.

    Outputs are the same until the adapters train. Compile the model afterwards. A `.keras` file,
    and so a `ModelCheckpoint`, keeps adapters and what is frozen as they are. Other models that
    share its layers have the adapters too, but on TensorFlow they may go on computing without: make
    them (such as `clip.zero_shot_classifier(...)`) afterwards. Keras's own layers around a model of
    this package get no adapters, since Keras saves their sum with the weight.

    Args:
        model: a CLIP, a ViT, a tower, or a classifier on one.
        rank: int. Of the adapters, at least 1.
        alpha: float or None. Their product is scaled by alpha / rank; None: as the rank.
        targets: str, a regular expression that is searched in the paths of layers, such as
            `vision/block_0/attention/qkv`. By default attention, perceptrons and pooling get
            adapters; the convolutions of a ResNet by `attention|mlp|conv`. Layers that are frozen
            already, as by `lit`, get none.
        train_head: bool. Whether a classifier's layer `head` trains as it is; `save_adapters` then
            keeps it too.

    Returns:
        The model.

    Raises:
        ValueError: no layer fits, it has adapters already, or it is quantised.

    Reference: "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685), section 4.1.
    """
    if type(rank) is not int or rank < 1:
        raise ValueError(f"rank is a whole number of at least 1, not {rank!r}.")
    check_plain(model)
    found = [
        path for path, layer in _adaptable(model) if layer.trainable and re.search(targets, path)
    ]
    if not found:
        have = sorted({path.rpartition("/")[2] for path, _ in _adaptable(model)})
        raise ValueError(
            f"No layer of {model.name!r} that trains fits targets={targets!r}; it has {have}."
        )
    return put_adapters(model, found, rank, alpha, train_head)


def put_adapters(model, paths, rank, alpha=None, train_head=True):
    """Put adapters into the layers of these paths, freeze all other weights: the same model."""
    layers = dict(_adaptable(model))
    quantised = [path for path in paths if layers[path].quantization_mode]
    if quantised:
        raise ValueError(f"{quantised[0]} is quantised: merge the adapters first, quantise then.")
    freeze_batch_norms(model)
    _freeze(model, {"head"} if train_head else ())
    for path in paths:
        layers[path].enable_lora(rank, lora_alpha=alpha)
    _forget_graphs(model)
    return model


def _freeze(model, names):
    """Freeze all weights but those of some layers of the model, so that a saved model knows it.

    Weight by weight inside of what keeps its state, since adapters train there; Keras's own layers
    outside of it as a whole.
    """
    if isinstance(model, KeepsState):
        for path, layer in [("", model), *walk(model)]:
            for variable in layer._trainable_variables if path not in names else ():
                variable.trainable = False
        return
    for layer in model._flatten_layers(include_self=False, recursive=False):
        if layer.name in names:
            continue
        if isinstance(layer, (KeepsState, keras.Model)):
            _freeze(layer, ())
        elif layer.trainable and layer._trainable_variables:
            layer.trainable = False
            _FROZEN.add(layer)


def merge_adapters(model):
    """Add the adapters to the weights that they belong to, and remove them: the same model.

    Outputs stay the same. The model is as if it had been fine-tuned in full: it trains whole again,
    but for layers that are frozen, and can be saved, exported and get new adapters. Compile it
    again before it trains.

    Returns:
        The model.

    Raises:
        ValueError: it has no adapters.
    """
    adapted = adapted_layers(model)
    if not adapted:
        raise ValueError(f"{model.name!r} has no adapters to merge.")
    for _, layer in adapted:
        merged = merged_weight(layer)
        for factor in layer.factors:
            # Not `del`, which makes Keras collect garbage each time.
            layer._untrack_variable(getattr(layer, factor))
            setattr(layer, factor, None)
        layer.lora_enabled, layer.lora_rank, layer.lora_alpha = False, None, None
        _weight(layer).assign(merged)
    for _, layer in walk(model):
        if layer in _FROZEN:
            _FROZEN.discard(layer)
            layer.trainable = True
        if layer.trainable:
            for variable in layer._trainable_variables:
                variable.trainable = True
    model.optimizer, model.compiled = None, False  # it knew the adapters
    _forget_graphs(model)
    return model


def adapted_layers(model):
    """The layers with adapters, as a list of (path, layer)."""
    return [(path, layer) for path, layer in _adaptable(model) if layer.lora_enabled]


def merged_weight(layer):
    """What the weight of a layer and its adapters are together, in the weight's own dtype: NumPy.

    Keras's own sum has the dtype that the layer computes in, such as bfloat16.
    """
    weight = keras.ops.convert_to_numpy(_weight(layer))
    a, b = (
        keras.ops.convert_to_numpy(getattr(layer, factor)).astype("float64")
        for factor in layer.factors
    )
    merged = weight.astype("float64") + layer.lora_alpha / layer.lora_rank * (a @ b)
    return merged.astype(weight.dtype)


def adapter_weights(model):
    """{path: variable} of all adapters, and of a head that trains with them."""
    found = {}
    for path, layer in adapted_layers(model):
        found.update({f"{path}/{name}": getattr(layer, name) for name in layer.factors})
    head = next((layer for path, layer in walk(model) if path == "head"), None)
    for variable in head._trainable_variables if head is not None else ():
        if variable.trainable:
            found[f"head/{variable.name}"] = variable
    return found


def check_plain(model):
    """Raise a ValueError where a model has adapters."""
    if adapted_layers(model):
        raise ValueError(f"{model.name!r} has adapters already: merge_adapters(model) first.")


def _adaptable(model):
    """(path, layer) of all layers that can have adapters."""
    return [(path, layer) for path, layer in walk(model) if isinstance(layer, Adaptable)]


def _weight(layer):
    return getattr(layer, f"_{layer.ADAPTED}")


def _forget_graphs(model):
    """Let Keras trace anew, with the weights that there are now."""
    track_variables(model)
    for part in [model, *(layer for _, layer in walk(model) if isinstance(layer, keras.Model))]:
        part.train_function = part.test_function = part.predict_function = None
