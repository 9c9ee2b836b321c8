"""Layers that `keras.RematScope` can recompute on every backend."""

import functools

import keras
from keras import ops


class Rematerialized:
    """Bind keywords before Keras rematerialises a layer's call, and draw its numbers again.

    Flags such as `training` must not be traced by JAX, and TensorFlow recomputes only what takes
    no keywords. The states of random generators go in, so that the backward pass drops what the
    forward pass dropped, and out, since JAX lets nothing else leave a recomputed call.
    """

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """Keras's hook: return a function that recomputes `layer_call` in the backward pass."""
        bound = functools.partial(layer_call, **kwargs)
        weights = {id(weight) for weight in self.weights}
        seeds = [variable for variable in self.variables if id(variable) not in weights]
        if not (seeds and kwargs.get("training")):
            again = super().rematerialized_call(bound, *args, **kwargs)
            return lambda *args, **_: again(*args)
        replay = _replayed(bound, seeds)
        again = super().rematerialized_call(replay, *args, **kwargs)

        def call(*args, **_):
            outputs, states = again(*args)
            _assign(seeds, states)
            return outputs

        return call


def _replayed(function, seeds):
    """Make a function draw the same numbers whenever it runs, and return its states as well."""
    before, runs = _values(seeds), []

    def replay(*args):
        now = _values(seeds)
        _assign(seeds, before)
        outputs = function(*args)
        after = _values(seeds)
        if runs and keras.backend.backend() != "jax":
            _assign(seeds, now)  # the backward pass leaves them as they were
        runs.append(True)
        return outputs, after

    return replay


def _values(variables):
    # Copies, since torch assigns in place.
    return [ops.copy(variable.value) for variable in variables]


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
