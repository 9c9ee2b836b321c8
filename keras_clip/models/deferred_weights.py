"""Models whose weights are about to be loaded: no memory is filled twice, no numbers are drawn."""

import threading
from contextlib import contextmanager

import keras

_LOCK = threading.RLock()
_TENSORFLOW_ALIGNMENT = 64  # bytes


class _Loaded:
    """An initializer that gives the value that was assigned, once, and keeps nothing of it."""

    def __init__(self):
        self.value = None

    def __call__(self, shape, dtype=None):
        value, self.value = self.value, None
        if value is None:  # it stands in a symbolic call, where zeros cost nothing
            return keras.ops.zeros(shape, dtype)
        return _tensor(value, dtype)


def _tensor(array, dtype):
    """The backend's tensor in the array's own memory where it can be, which Keras would copy."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.from_numpy(array)
    if keras.backend.backend() == "jax":
        import jax

        return jax.device_put(array).astype(dtype)  # no copy where it has this dtype
    if not array.flags.c_contiguous or array.ctypes.data % _TENSORFLOW_ALIGNMENT:
        return array  # TensorFlow would take it, and abort the process at the first sum
    import tensorflow as tf

    return tf.cast(tf.experimental.dlpack.from_dlpack(array.__dlpack__()), dtype)


class _Slot:
    """A weight that is not there yet, with what is needed to fill it."""

    def __init__(self, variable, initializer):
        self.shape, self.dtype = tuple(variable.shape), variable.dtype
        self._initializer = initializer

    def assign(self, value):
        """Set the value that the weight will begin with."""
        self._initializer.value = value


@contextmanager
def deferred_weights(keep=()):
    """Build models whose weights come into being when the block ends.

    Drawing the numbers of a large model takes longer than reading it. Models that other threads
    build meanwhile are initialised as ever.

    Args:
        keep: names of layers that are initialised as they ask for, such as a new `head`.

    Yields:
        A function from {name: variable} to {name: slot with `shape`, `dtype` and `assign`}. What
        is assigned to a slot is the weight's first value; a weight without one is zero.
    """
    thread, loaded = threading.get_ident(), {}

    def add_deferred(self, shape=None, initializer=None, *args, **kwargs):
        if threading.get_ident() != thread or self.name in keep:
            return add_weight(self, shape, initializer, *args, **kwargs)
        initializer = _Loaded()
        variable = add_weight(self, shape, initializer, *args, **kwargs)
        loaded[id(variable)] = initializer
        return variable

    def slots(variables):
        return {name: _Slot(v, loaded[id(v)]) for name, v in variables.items() if id(v) in loaded}

    with _LOCK, keras.StatelessScope():  # it initialises what was made inside when it ends
        add_weight = keras.layers.Layer.add_weight
        keras.layers.Layer.add_weight = add_deferred
        try:
            yield slots
        finally:
            keras.layers.Layer.add_weight = add_weight
