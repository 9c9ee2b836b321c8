"""The pre-norm transformer block that both towers are made of."""

import keras
from keras import ops

from keras_clip.layers.attention import SelfAttention
from keras_clip.layers.container import Container
from keras_clip.layers.fusion import end_fusion
from keras_clip.layers.layer_norm import LayerNorm
from keras_clip.layers.layer_scale import LayerScale
from keras_clip.layers.layer_state import KeepsState
from keras_clip.layers.mlp import MLP
from keras_clip.layers.rematerialized import Rematerialized
from keras_clip.layers.stochastic_depth import StochasticDepth


@keras.saving.register_keras_serializable(package="keras_clip")
class TransformerEncoderBlock(Rematerialized, KeepsState, keras.layers.Layer):
    """Attention and perceptron, each behind a norm and a residual: (B, N, D) -> (B, N, D).

    Args:
        num_heads: int.
        mlp_dim: int. Width inside the perceptron.
        head_dim: int or None. Width of a head; None: D // num_heads.
        activation: `gelu`, `gelu_tanh`, `quick_gelu` or `swiglu`.
        epsilon: float. Of the layer norms.
        causal: bool. A token sees itself and those before it.
        use_qkv_bias: bool.
        dropout_rate: float. Of attention weights and of the perceptron.
        stochastic_depth_rate: float. Probability that a sample skips a branch in training.
        layer_scale: float or None. Initial gain of each branch; None: no gains.

    Reference: "An Image is Worth 16x16 Words" (arXiv 2010.11929), equations 2 and 3.
    """

    def __init__(
        self,
        num_heads,
        mlp_dim,
        head_dim=None,
        activation="gelu",
        epsilon=1e-6,
        causal=False,
        use_qkv_bias=True,
        dropout_rate=0.0,
        stochastic_depth_rate=0.0,
        layer_scale=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.head_dim = head_dim
        self.activation = activation
        self.epsilon = epsilon
        self.causal = causal
        self.use_qkv_bias = use_qkv_bias
        self.dropout_rate = dropout_rate
        self.stochastic_depth_rate = stochastic_depth_rate
        self.layer_scale = layer_scale
        self.supports_masking = True
        self._make_layers()

    def _make_layers(self):
        common = {"dtype": self.dtype_policy}
        self.norm1 = LayerNorm(self.epsilon, name="norm1", **common)
        self.attention = SelfAttention(
            self.num_heads,
            self.head_dim,
            self.causal,
            self.use_qkv_bias,
            self.dropout_rate,
            name="attention",
            **common,
        )
        self.norm2 = LayerNorm(self.epsilon, name="norm2", **common)
        self.mlp = MLP(self.mlp_dim, self.activation, self.dropout_rate, name="mlp", **common)
        # Each branch ends with what was asked for, so that a plain block pays for nothing.
        ends = []
        for number in (1, 2):
            parts = {}
            if self.layer_scale is not None:
                name = f"layer_scale{number}"
                parts["layer_scale"] = LayerScale(self.layer_scale, name=name, **common)
            if self.stochastic_depth_rate:
                name, rate = f"stochastic_depth{number}", self.stochastic_depth_rate
                parts["stochastic_depth"] = StochasticDepth(rate, name=name, **common)
            ends.append(Container(parts, name=f"branch_end{number}") if parts else ())
        self.branch_ends = tuple(ends)

    def build(self, input_shape):
        for layer in (self.norm1, self.attention, self.norm2, self.mlp):
            layer.build(input_shape)
        for end in self.branch_ends:
            for layer in end:
                layer.build(input_shape)

    def call(self, x, padding_mask=None, mask=None, training=None, return_attention_scores=False):
        """Run the block.

        Args:
            x: (B, N, D).
            padding_mask: (B, N) or None, True where there is a token.
            mask: the same, as Keras hands it on from an upstream layer; both are honoured.
            return_attention_scores: bool. Also return the weights (B, heads, N, N).
        """
        if mask is not None and padding_mask is not None:
            mask = ops.logical_and(mask, ops.cast(padding_mask, "bool"))
        mask = padding_mask if mask is None else mask
        x = end_fusion(x) if training else x
        # The parts are entered by `call`: Keras's bookkeeping around a layer costs 0.2 ms each in
        # eager torch, a quarter of a ViT-B/32's latency, and the block has already done it.
        y = self.attention.call(self.norm1.call(x), mask, training, return_attention_scores)
        y, scores = y if return_attention_scores else (y, None)
        x = x + self._finish(y, self.branch_ends[0], training)
        x = end_fusion(x) if training else x
        y = self.mlp.call(self.norm2.call(x), training)
        x = x + self._finish(y, self.branch_ends[1], training)
        return (x, scores) if return_attention_scores else x

    def _finish(self, y, end, training):
        for layer in end:
            random = isinstance(layer, StochasticDepth)
            y = layer.call(y, training=training) if random else layer.call(y)
        return y

    def compute_mask(self, inputs, mask=None):
        return mask

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "head_dim": self.head_dim,
            "activation": self.activation,
            "epsilon": self.epsilon,
            "causal": self.causal,
            "use_qkv_bias": self.use_qkv_bias,
            "dropout_rate": self.dropout_rate,
            "stochastic_depth_rate": self.stochastic_depth_rate,
            "layer_scale": self.layer_scale,
        }
