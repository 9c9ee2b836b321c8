"""Layers that `keras.RematScope` can recompute on every backend."""

import functools


class Rematerialized:
    """Bind keywords before Keras rematerialises a layer's call.

    Flags such as `training` must not be traced by JAX, and TensorFlow recomputes only what takes
    no keywords.
    """

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """Keras's hook: return a function that recomputes `layer_call` in the backward pass."""
        bound = functools.partial(layer_call, **kwargs)
        again = super().rematerialized_call(bound, *args, **kwargs)
        return lambda *args, **_: again(*args)
