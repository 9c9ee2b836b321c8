"""Products of tokens with weights, by the fastest way that a backend has."""

import functools
import pathlib
import platform

from keras import backend, ops


def apply_dense(dense, x):
    """Run a `Dense` that was built under the caller's policy: (..., in) -> (..., out).

    Its `call` is entered directly, which saves Keras's bookkeeping and keeps LoRA; a quantised
    one goes the long way, since only `__call__` finds the quantised kernel.
    """
    if dense.quantization_mode is not None:
        return dense(x)
    if backend.backend() == "torch":
        return linear(x, dense.kernel, dense.bias)
    return dense.call(x)


def linear(x, kernel, bias=None):
    """Compute `x @ kernel + bias`: (..., in), (in, out), (out,) or None -> (..., out)."""
    if backend.backend() == "torch":
        kernel = ops.convert_to_tensor(kernel)
        bias = None if bias is None else ops.convert_to_tensor(bias)
        if x.dtype == kernel.dtype:
            y = _torch_linear(x.reshape(-1, x.shape[-1]), kernel, bias)
            return y.reshape(*x.shape[:-1], kernel.shape[-1])
    y = ops.matmul(x, kernel)
    return y if bias is None else y + bias


def _torch_linear(rows, kernel, bias):
    # Eager torch fuses nothing by itself; one product with its bias saves a tenth of the time.
    # Torch gives float32 products to MKL. On AMD's processors that takes 1.2 to 1.6 times as long
    # as the oneDNN that torch.compile chooses, on Intel's 0.6 to 1.1 times; oneDNN's operator has
    # no gradient.
    import torch

    eager = not (torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing())
    onednn = rows.device.type == "cpu" and torch.backends.mkldnn.is_available()
    if eager and onednn and rows.dtype == torch.float32 and not _is_intel():
        return torch.ops.mkldnn._linear_pointwise(rows, kernel.t(), bias, "none", [], "")
    return torch.mm(rows, kernel) if bias is None else torch.addmm(bias, rows, kernel)


@functools.cache
def _is_intel():
    """Whether the processor is one that MKL, which is Intel's, has its fast products for."""
    try:
        described = pathlib.Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:  # not Linux
        described = platform.processor()
    return "GenuineIntel" in described
