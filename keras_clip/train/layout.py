"""How the weights of a model lie on a mesh of devices: Megatron's split, by Keras's layouts."""

import math
import re

import keras

MODEL_AXIS = "model"
# Dense layers split by their outputs, biases too; all others are split by their inputs, so that
# what stands between two layer norms is summed over the devices once.
_BY_OUTPUT = {"patch_embedding", "qkv", "query", "key", "value", "key_value", "fc1"}


def layout_map(model, mesh):
    """Lay the weights of a model out on a mesh: every kernel and every embedding is split.

    Queries, keys, values and the first layer of each perceptron are split by their outputs, with
    their biases; what follows them, projections and heads by their inputs; convolutions by their
    filters; embeddings of tokens and positions by their width. Gains, other biases, learned tokens
    and the logit scale are on every device: nothing of more than 4 x the width of the model.

    Keras lays a weight out when it is made, so the model is built again after this:

        mesh = keras.distribution.DeviceMesh((2, 4), ("data", "model"))
        layouts = keras_clip.layout_map(keras_clip.from_preset(name, load_weights=False), mesh)
        keras.distribution.set_distribution(keras.distribution.ModelParallel(
            layout_map=layouts, batch_dim_name="data"))
        clip = keras_clip.from_preset(name)

    The layouts depend on what layers are called and not on how many blocks there are, so the model
    given here may have one block a tower; one map serves a CLIP, its towers and its classifiers.

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
    split = {}
    for weight in model.weights:
        dimension = _split_dimension(weight)
        if dimension is not None:
            split.setdefault(_pattern(weight.path), []).append((weight, dimension))
    _check_sizes(model, split, mesh.shape[list(mesh.axis_names).index(MODEL_AXIS)])
    layouts = keras.distribution.LayoutMap(mesh)
    for pattern, ((weight, dimension), *_) in split.items():
        axes = [None] * len(weight.shape)
        axes[dimension] = MODEL_AXIS
        layouts[pattern] = tuple(axes)
    return layouts


def _split_dimension(weight):
    """Which dimension of a weight is split, or None."""
    *_, owner, name = ("", *weight.path.split("/"))
    owner, rank = _stem(owner), len(weight.shape)
    if name == "embeddings" and rank == 2:
        return 1
    if name == "kernel" and rank >= 2:
        return rank - 1 if owner in _BY_OUTPUT or rank > 2 else 0
    return 0 if name == "bias" and owner in _BY_OUTPUT else None


def _stem(name):
    """A layer's name without the number that Keras adds to one that repeats."""
    return re.sub(r"_\d+$", "", name)


def _pattern(path):
    """What matches the weights of this name in layers of this name, wherever they are."""
    *_, owner, name = ("", *path.split("/"))
    return rf"(?:.*/)?{re.escape(_stem(owner))}(?:_\d+)?/{re.escape(name)}"


def _check_sizes(model, split, devices):
    """Raise a ValueError that lists all that the model axis does not divide."""
    sizes = [(heads, f"num_heads of {name}") for name, heads in _heads(model)]
    for weights in split.values():
        for weight, dimension in weights:
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
