"""A learned gain on a residual branch."""

import keras

from keras_clip.layers.layer_state import KeepsState


@keras.saving.register_keras_serializable(package="keras_clip")
class LayerScale(KeepsState, keras.layers.Layer):
    """Multiply every channel by a learned gain: (..., D) -> (..., D).

    Args:
        initial_value: float. Where the gains start.

    Reference: "Going deeper with Image Transformers" (arXiv 2103.17239), section 2.
    """

    def __init__(self, initial_value=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.initial_value = initial_value
        self.supports_masking = True

    def build(self, input_shape):
        self.gamma = self.add_weight(
            name="gamma",
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.initial_value),
        )

    def call(self, x):
        return x * self.gamma

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "initial_value": self.initial_value}
