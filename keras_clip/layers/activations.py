"""Activations by the names that checkpoints use."""

from keras import backend, ops


def quick_gelu(x):
    """CLIP's cheap GELU, `x * sigmoid(1.702 x)`, any shape -> the same.

    Source: openai/CLIP `clip/model.py`, `QuickGELU`.
    """
    if backend.backend() == "torch":
        import torch

        if not torch.is_grad_enabled():  # fresh memory costs eager torch more than the sums do
            return (1.702 * x).sigmoid_().mul_(x)
    return x * ops.sigmoid(1.702 * x)


def gelu(x):
    """Exact GELU, `x * Phi(x)` with the error function, any shape -> the same."""
    return ops.gelu(x, approximate=False)


def gelu_tanh(x):
    """GELU's tanh approximation (the default of flax), any shape -> the same."""
    return ops.gelu(x, approximate=True)


def swiglu(x):
    """A gate and what it lets through, side by side: (..., 2 D) -> (..., D).

    Reference: "GLU Variants Improve Transformer" (arXiv 2002.05202), section 2.
    """
    gate, values = ops.split(x, 2, axis=-1)
    return ops.silu(gate) * values


ACTIVATIONS = {"gelu": gelu, "gelu_tanh": gelu_tanh, "quick_gelu": quick_gelu, "swiglu": swiglu}


def get_activation(name):
    """Return the function called `name`, one of `gelu`, `gelu_tanh`, `quick_gelu`, `swiglu`.

    Raises:
        ValueError: the name is not one of these; they differ by up to 0.02 a unit, so
            none is a substitute for another.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation is one of {sorted(ACTIVATIONS)}, not {name!r}.")
    return ACTIVATIONS[name]
