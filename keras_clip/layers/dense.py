"""How a layer runs the `Dense` layers it is made of."""


def apply_dense(dense, x):
    """Run a `Dense` that was built under the caller's policy: (..., in) -> (..., out).

    Its `call` is entered directly, which saves Keras's bookkeeping and keeps LoRA; a quantised
    one goes the long way, since only `__call__` finds the quantised kernel.
    """
    return dense.call(x) if dense.quantization_mode is None else dense(x)
