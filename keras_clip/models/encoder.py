"""The stack of blocks and the ends that image and text towers share."""

import keras

from keras_clip.layers import LayerNorm, TransformerEncoderBlock


def encode(x, config, causal=False):
    """Run the blocks and the final norm on tokens: (B, N, D) -> (B, N, D).

    Args:
        x: symbolic tokens with their positions added.
        config: ViTConfig or TextConfig.
        causal: bool. Whether a token sees only those before it.
    """
    depth_rate = getattr(config, "stochastic_depth_rate", 0.0)
    for i in range(config.num_layers):
        x = TransformerEncoderBlock(
            config.num_heads,
            config.mlp_dim,
            activation=config.activation,
            epsilon=config.epsilon,
            causal=causal,
            use_qkv_bias=getattr(config, "use_qkv_bias", True),
            dropout_rate=config.dropout_rate,
            stochastic_depth_rate=depth_rate * i / max(config.num_layers - 1, 1),
            layer_scale=getattr(config, "layer_scale", None),
            name=f"block_{i}",
        )(x)
    return LayerNorm(config.epsilon, name="norm")(x)


def project(x, dim):
    """Project pooled tokens to the shared space, without a bias: (B, D) -> (B, dim)."""
    return keras.layers.Dense(dim, use_bias=False, name="projection")(x)
