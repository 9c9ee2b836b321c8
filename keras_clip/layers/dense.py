"""How a layer runs the `Dense` layers it is made of."""

from keras import backend, ops


def apply_dense(dense, x):
    """Run a `Dense` that was built under the caller's policy: (..., in) -> (..., out).

    Its `call` is entered directly, which saves Keras's bookkeeping and keeps LoRA; a quantised
    one goes the long way, since only `__call__` finds the quantised kernel.
    """
    if dense.quantization_mode is not None:
        return dense(x)
    if backend.backend() == "torch" and dense.bias is not None:
        return _fused(dense, x)
    return dense.call(x)


def _fused(dense, x):
    # Eager torch fuses nothing by itself; one product with its bias saves a tenth of the time.
    kernel, bias = ops.convert_to_tensor(dense.kernel), ops.convert_to_tensor(dense.bias)
    if x.dtype != kernel.dtype:
        return dense.call(x)
    return bias.addmm(x.reshape(-1, x.shape[-1]), kernel).reshape(*x.shape[:-1], -1)
