"""The processes of one run on JAX: the first writes what all share, and decides for all."""

import keras
import numpy as np


def is_first():
    """Whether this process is the only or the first one of its run."""
    if keras.backend.backend() != "jax":
        return True
    import jax

    return jax.process_index() == 0


def from_first(number):
    """Return in every process the int that the first one gives.

    Args:
        number: int; what the other processes give is ignored.
    """
    if keras.backend.backend() == "jax":
        import jax

        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            return int(multihost_utils.broadcast_one_to_all(np.int32(number)))
    return number
