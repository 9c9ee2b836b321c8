"""LoRA on both towers, by Keras's own `enable_lora`: on, off, and which weights there are."""

import re
from contextlib import ExitStack, contextmanager

import keras

from keras_clip.finetune.freezing import freeze_batch_norms
from keras_clip.models.frozen import walk

TARGETS = "attention|mlp|pooling"
_WEIGHTS = {  # how layers call what is adapted, and its two factors
    keras.layers.Dense: "kernel",
    keras.layers.EinsumDense: "kernel",
    keras.layers.Embedding: "embeddings",
    keras.layers.Conv2D: "kernel",
}


def lora(model, rank=8, alpha=None, targets=TARGETS, train_head=True):
    """Put low-rank adapters into a model and freeze the rest: the same model.

    Outputs are the same until the adapters train. Compile the model afterwards. Other models that
    share its layers have the adapters too, but on TensorFlow they may go on computing without: make
    them (such as `clip.zero_shot_classifier(...)`) afterwards.

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
    for path, layer in walk(model):
        if not (train_head and path == "head"):
            for variable in layer._trainable_variables:
                variable.trainable = False
    for path in paths:
        with _inside(_weight(layers[path]).path):
            layers[path].enable_lora(rank, lora_alpha=alpha)
    _forget_graphs(model)
    return model


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
        name, merged = _weight_name(layer), merged_weight(layer)
        for factor in ("a", "b"):
            # Not `del`, which makes Keras collect garbage each time.
            layer._untrack_variable(getattr(layer, f"lora_{name}_{factor}"))
            setattr(layer, f"lora_{name}_{factor}", None)
        layer.lora_enabled, layer.lora_rank, layer.lora_alpha = False, None, None
        _weight(layer).assign(merged)
    for _, layer in walk(model):
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
    name = _weight_name(layer)
    weight = keras.ops.convert_to_numpy(_weight(layer))
    a, b = (
        keras.ops.convert_to_numpy(getattr(layer, f"lora_{name}_{factor}")).astype("float64")
        for factor in ("a", "b")
    )
    merged = weight.astype("float64") + layer.lora_alpha / layer.lora_rank * (a @ b)
    return merged.astype(weight.dtype)


def adapter_weights(model):
    """{path: variable} of all adapters, and of a head that trains with them."""
    found = {}
    for path, layer in adapted_layers(model):
        name = _weight_name(layer)
        for factor in ("a", "b"):
            key = f"lora_{name}_{factor}"
            found[f"{path}/{key}"] = getattr(layer, key)
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
    """(path, layer) of all layers that Keras can adapt."""
    return [(path, layer) for path, layer in walk(model) if isinstance(layer, tuple(_WEIGHTS))]


def _weight_name(layer):
    return next(name for kind, name in _WEIGHTS.items() if isinstance(layer, kind))


def _weight(layer):
    return getattr(layer, f"_{_weight_name(layer)}")


@contextmanager
def _inside(path):
    """Name what is made after the layers that a weight is in; else only after the last of them."""
    with ExitStack() as stack:
        for name in path.split("/")[:-2]:
            stack.enter_context(keras.name_scope(name))
        yield


def _forget_graphs(model):
    """Let Keras trace anew: a traced graph computes with the weights that were there then."""
    for part in [model, *(layer for _, layer in walk(model) if isinstance(layer, keras.Model))]:
        part.train_function = part.test_function = part.predict_function = None
