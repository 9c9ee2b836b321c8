"""How the weights of a model lie on a mesh of devices: Megatron's split, by Keras's layouts."""

import math
import re

import keras

MODEL_AXIS = "model"
# Two layers in a row, the first split by its outputs and the second by its inputs, leave one sum
# over the devices a branch.
_BY_OUTPUT = {"qkv", "query", "key", "value", "key_value", "fc1"}
_BY_INPUT = {"out", "fc2"}
# Splitting these would split what stands between the blocks, to be gathered in each of them; they
# are below 1 % of a model of real size.
_WHOLE = {"position_embedding", "projection"}


def layout_map(model, mesh):
    """Lay the weights of a model out on a mesh: kernels and embeddings are split over devices.

    Queries, keys, values and the first layer of each perceptron are split by their outputs, with
    their biases, and what follows them by its inputs; convolutions by their filters; token
    embeddings by tokens and heads by classes, where these can be shared equally; patch embeddings
    by pixels, likewise. Gains, other biases, learned tokens, positions and the projections to the
    shared space are on every device, each below 1 % of a model of real size.

    Keras lays a weight out when it is made, so the model is built again after this:

        mesh = keras.distribution.DeviceMesh((2, 4), ("data", "model"))
        layouts = keras_clip.layout_map(keras_clip.from_preset(name, load_weights=False), mesh)
        keras.distribution.set_distribution(keras.distribution.ModelParallel(
            layout_map=layouts, batch_dim_name="data"))
        clip = keras_clip.from_preset(name)

    The layouts depend on what layers are called and not on how many blocks there are, so the model
    given here may have one block a tower, and the map of a CLIP serves its towers too.

    Args:
        model: CLIP, ViT, one tower, or a classifier made of them.
        mesh: keras.distribution.DeviceMesh with an axis called `model`; over the others, if there
            are any, weights are repeated and batches are split.

    Returns:
        keras.distribution.LayoutMap for `keras.distribution.ModelParallel`.

    Raises:
        RuntimeError: Keras does not run on JAX, where alone it lays weights out.
        ValueError: the mesh has no axis `model`, or its size does not divide the attention heads or
            a dimension that is to be split; the message lists all of them.

    Reference: "Megatron-LM" (arXiv 1909.08053), section 3.
    """
    if keras.backend.backend() != "jax":
        raise RuntimeError(
            f"Keras splits weights over devices on JAX only, not on {keras.backend.backend()}: set "
            "KERAS_BACKEND=jax."
        )
    if MODEL_AXIS not in mesh.axis_names:
        raise ValueError(
            f"The mesh has the axes {tuple(mesh.axis_names)} and none called {MODEL_AXIS!r}, over "
            'which weights are split: keras.distribution.DeviceMesh((2, 4), ("data", "model")).'
        )
    devices, groups = mesh.shape[list(mesh.axis_names).index(MODEL_AXIS)], {}
    for weight in model.weights:
        groups.setdefault(_pattern(weight.path), []).append(weight)
    split = {pattern: _split_dimension(some, devices) for pattern, some in groups.items()}
    split = {pattern: dimension for pattern, dimension in split.items() if dimension is not None}
    _check_sizes(
        model, [(w, split[pattern]) for pattern in split for w in groups[pattern]], devices
    )
    layouts = keras.distribution.LayoutMap(mesh)
    for pattern, dimension in split.items():
        axes = [None] * len(groups[pattern][0].shape)
        axes[dimension] = MODEL_AXIS
        layouts[pattern] = tuple(axes)
    return layouts


def _split_dimension(weights, devices):
    """Which dimension of weights of one name is split: the first of `_dimensions` that can be."""
    dimensions = _dimensions(weights[0])
    for dimension in dimensions:
        if dimension is None or all(w.shape[dimension] % devices == 0 for w in weights):
            return dimension
    return dimensions[0]


def _dimensions(weight):
    """Dimensions by which a weight is split, the best first; None: it is whole."""
    *_, owner, name = ("", *weight.path.split("/"))
    owner, last = _stem(owner), len(weight.shape) - 1
    if name == "bias" and owner in _BY_OUTPUT:
        return (0,)
    if name not in ("kernel", "embeddings") or last < 1 or owner in _WHOLE:
        return (None,)
    if owner in _BY_OUTPUT or owner in _BY_INPUT:
        return (last if owner in _BY_OUTPUT else 0,)
    if owner == "patch_embedding":  # by its filters, it would be as in _WHOLE
        return (*range(last), None)
    if last > 1:
        return (last,)
    return (0, 1) if name == "embeddings" else (1, 0)


def _stem(name):
    """A layer's name without the number that Keras adds to one that repeats."""
    return re.sub(r"_\d+$", "", name)


def _pattern(path):
    """What matches the weights of this name in layers of this name, wherever they are."""
    *_, owner, name = ("", *path.split("/"))
    # Keras matches the whole path from 3.13 on, and a part of it before.
    return rf"^(?:.*/)?{re.escape(_stem(owner))}(?:_\d+)?/{re.escape(name)}$"


def _check_sizes(model, split, devices):
    """Raise a ValueError that lists all that the model axis does not divide."""
    sizes = [(heads, f"num_heads of {name}") for name, heads in _heads(model)]
    for weight, dimension in split:
        what = f"dimension {dimension} of {weight.path} {weight.shape}"
        sizes.append((weight.shape[dimension], what))
    odd = [f"\n  {what}: {size}" for size, what in sizes if size % devices]
    if odd:
        lines = "".join(dict.fromkeys(re.sub(r"block_\d+", "block_*", line) for line in odd))
        raise ValueError(
            f"{devices} devices of the mesh's axis {MODEL_AXIS!r} cannot share equally:{lines}\n"
            f"Give the axis a size that divides {math.gcd(*(size for size, _ in sizes))}."
        )


def _heads(model):
    """Name and number of heads of each layer that has some, through nested models."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from ((f"{layer.name}/{name}", heads) for name, heads in _heads(layer))
        elif hasattr(layer, "num_heads"):
            yield layer.name, layer.num_heads
