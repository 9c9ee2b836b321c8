"""What a failed step leaves behind."""

from contextlib import contextmanager

import keras

from keras_clip.models.pair_checks import TOO_SMALL


def _state(model):
    """All that changes while a model trains: weights, the optimizer's variables, metrics."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return model.variables
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    return [*model.variables, *optimizer.variables, *model.metrics_variables]


@contextmanager
def kept_weights(model):
    """Leave a model with its weights when training stops with an error.

    While it trains, Keras on JAX takes the arrays out of the variables, and an error would leave
    them empty. Holding the old arrays costs no memory, since each step donates them.
    """
    jax = keras.backend.backend() == "jax"
    held = [(variable, variable.value) for variable in _state(model)] if jax else []
    try:
        yield
    except BaseException as error:
        if jax:
            model.jax_state_sync()
            for variable, value in held:
                if variable._value is None and not value.is_deleted():
                    variable.assign(value)
        if TOO_SMALL in str(error) and not isinstance(error, ValueError):
            raise ValueError(TOO_SMALL) from None
        raise
