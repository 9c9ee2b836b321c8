"""Models whose weights are about to be loaded, built without drawing random numbers for them."""

import threading
from contextlib import contextmanager

import keras

_LOCK = threading.RLock()


@contextmanager
def blank_weights(keep=()):
    """Build layers with zeros for weights: drawing a large model's takes longer than reading it.

    Layers built meanwhile by other threads are initialised as ever.

    Args:
        keep: names of layers that are initialised as they ask for, such as a new `head`.
    """
    thread = threading.get_ident()
    with _LOCK:
        add_weight = keras.layers.Layer.add_weight

        def add_blank(self, shape=None, initializer=None, *args, **kwargs):
            if threading.get_ident() == thread and self.name not in keep:
                initializer = "zeros"
            return add_weight(self, shape, initializer, *args, **kwargs)

        keras.layers.Layer.add_weight = add_blank
        try:
            yield
        finally:
            keras.layers.Layer.add_weight = add_weight
