"""One of two functions that change variables, chosen while a step runs."""

import keras
from keras import ops


def choose(condition, if_true, if_false, variables):
    """Run one of two functions without a result.

    Args:
        condition: scalar bool, symbolic or not.
        if_true: function. The one that changes more: XLA holds twice what the second changes.
        if_false: function.
        variables: list of all keras.Variables that they may change.
    """
    if keras.backend.backend() != "jax":
        ops.cond(condition, if_true, if_false)
        return
    values = [(variable, variable.value) for variable in variables]

    def changed(function):
        with keras.StatelessScope(state_mapping=values) as scope:
            function()
        return [scope.get_current_value(variable) for variable in variables]

    new = ops.cond(condition, lambda: changed(if_true), lambda: changed(if_false))
    for variable, value in zip(variables, new, strict=True):
        variable.assign(value)
