"""Where XLA must not fuse on, lest it compute the same many times."""

import functools

import keras


def end_fusion(x):
    """Return tokens as they are, and let XLA compute them and their gradient once: any shape.

    In the gradient of a stack of blocks, each block's weights read the gradient of the residual
    stream, a sum over all later blocks. XLA for CPUs fuses the whole sum into each of those reads,
    so that n blocks cost n * n: almost half the time of a ViT-B/32's step. It does not fuse into a
    function that is not inlined; `jax.lax.optimization_barrier` it removes before it fuses.
    """
    if keras.backend.backend() != "jax" or not _is_on_cpu():
        return x
    from jax.experimental.xla_metadata import set_xla_metadata

    with set_xla_metadata(inlineable="false"):
        return _same()(x)


def _is_on_cpu():
    import jax

    return jax.default_backend() == "cpu"


@functools.cache
def _same():
    import jax

    return jax.jit(lambda x: x * 1)  # jax leaves out a function that does nothing
