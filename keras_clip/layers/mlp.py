"""The two-layer perceptron of a transformer block."""

import keras

from keras_clip.layers.activations import get_activation
from keras_clip.layers.adaptable import Dense
from keras_clip.layers.dense import apply_dense
from keras_clip.layers.layer_state import KeepsState
from keras_clip.layers.rematerialized import Rematerialized


@keras.saving.register_keras_serializable(package="keras_clip")
class MLP(Rematerialized, KeepsState, keras.layers.Layer):
    """Widen, activate, narrow: (..., D) -> (..., D).

    Args:
        mlp_dim: int. Width in between.
        activation: `gelu`, `gelu_tanh`, `quick_gelu` or `swiglu`, for which the first layer is
            twice as wide.
        dropout_rate: float. Dropout after either layer.
    """

    def __init__(self, mlp_dim, activation="gelu", dropout_rate=0.0, **kwargs):
        super().__init__(**kwargs)
        self.mlp_dim = mlp_dim
        self.activation = activation
        self.dropout_rate = dropout_rate
        self.supports_masking = True
        self.function = get_activation(activation)

    def build(self, input_shape):
        width = 2 * self.mlp_dim if self.activation == "swiglu" else self.mlp_dim
        self.fc1 = Dense(width, name="fc1", dtype=self.dtype_policy)
        self.fc2 = Dense(input_shape[-1], name="fc2", dtype=self.dtype_policy)
        self.fc1.build(input_shape)
        self.fc2.build((*input_shape[:-1], self.mlp_dim))
        if self.dropout_rate:
            self.dropout = keras.layers.Dropout(self.dropout_rate, dtype=self.dtype_policy)

    def call(self, x, training=None):
        x = self.function(apply_dense(self.fc1, x))
        if not self.dropout_rate:
            return apply_dense(self.fc2, x)
        x = apply_dense(self.fc2, self.dropout.call(x, training=training))
        return self.dropout.call(x, training=training)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "mlp_dim": self.mlp_dim,
            "activation": self.activation,
            "dropout_rate": self.dropout_rate,
        }
