"""A constraint that keeps a weight in an interval."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_clip")
class Clamp(keras.constraints.Constraint):
    """Clips every value of a weight to [low, high] after each training step.

    Args:
        low: float. The smallest value.
        high: float. The largest value.
    """

    def __init__(self, low, high):
        self.low = low
        self.high = high

    def __call__(self, w):
        return ops.clip(w, self.low, self.high)

    def get_config(self):
        return {"low": self.low, "high": self.high}
