"""What a failed step leaves behind."""

from contextlib import contextmanager

import keras

from keras_clip.models.pair_checks import TOO_SMALL


def _state(model, training):
    """All that changes while a model runs: weights, the optimizer's variables, metrics."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return model.variables
    if training and not optimizer.built:
        optimizer.build(model.trainable_variables)
    return [*model.variables, *optimizer.variables, *model.metrics_variables]


@contextmanager
def kept_weights(model, training=True):
    """Leave a model with its weights when a step stops with an error.

    While it runs, Keras on JAX takes the arrays out of the variables, and an error would leave
    them empty. Holding the old arrays costs no memory, since each step donates them.

    Args:
        model: keras.Model.
        training: bool. Whether the optimizer's variables change as well.
    """
    jax = keras.backend.backend() == "jax"
    held = [(variable, variable.value) for variable in _state(model, training)] if jax else []
    if jax:
        model._jax_state = None  # of an earlier run
    try:
        yield
    except BaseException as error:
        if jax:
            model.jax_state_sync()
            for variable, value in held:
                if variable._value is None and not value.is_deleted():
                    variable.assign(value)
            model._jax_state, model._jax_state_synced = None, True
        if TOO_SMALL in str(error) and not isinstance(error, ValueError):
            raise ValueError(TOO_SMALL) from None
        raise
