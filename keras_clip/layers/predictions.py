"""Probabilities, and what their classes are called."""

import keras


@keras.saving.register_keras_serializable(package="keras_clip")
class Predictions(keras.layers.Layer):
    """Turn logits into predictions: (..., K) -> (..., K) float32.

    Args:
        activation: `softmax`, `sigmoid`, or None: the logits as they are.
        class_names: list of K str, kept with a saved model, or None.

    Raises:
        ValueError: another activation, or as many names as there are no classes.
    """

    def __init__(self, activation="softmax", class_names=None, dtype="float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        if activation not in ("softmax", "sigmoid", None):
            raise ValueError(f"activation is softmax, sigmoid or None, not {activation!r}.")
        self.activation = activation
        self.class_names = None if class_names is None else tuple(class_names)

    def build(self, input_shape):
        if self.class_names is not None and len(self.class_names) != input_shape[-1]:
            raise ValueError(
                f"{self.name}: {len(self.class_names)} class names for {input_shape[-1]} classes."
            )

    def call(self, logits):
        return keras.activations.get(self.activation)(logits)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "activation": self.activation,
            "class_names": None if self.class_names is None else list(self.class_names),
        }
