"""Layers that another one keeps together."""

import keras


class Container(keras.layers.Layer):
    """Layers of another one, kept together, with the paths they have without this.

    In a file, Keras 3.15 gives a list inside of a tuple the place `container`; older versions
    leave it out, weights and all. This class has that name, so that the files of every version
    are whole and the same.

    Args:
        parts: dict of str to keras.layers.Layer. What stands in it, by names in the file. The
            layer that has the container builds them, so that they are named after it.
    """

    def __init__(self, parts, **kwargs):
        super().__init__(**kwargs)
        for name, layer in parts.items():
            setattr(self, name, layer)
        self.built = True

    def __iter__(self):
        return iter(self._layers)
