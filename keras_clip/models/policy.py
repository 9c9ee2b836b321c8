"""A dtype policy for the time it takes to build a model."""

from contextlib import contextmanager

import keras


@contextmanager
def policy_scope(dtype):
    """Build layers under a dtype policy, such as `mixed_bfloat16`; None leaves the global one."""
    previous = keras.config.dtype_policy()
    if dtype is not None:
        keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)
