"""The stack of blocks and the ends that image and text towers share."""

from keras_clip.layers import LayerNorm, TransformerEncoderBlock
from keras_clip.layers.adaptable import Dense


def encode(x, config, causal=False, padding_mask=None):
    """Run the blocks on tokens: (B, N, D) -> (B, N, D).

    Args:
        x: symbolic tokens with their positions added.
        config: ViTConfig, NaFlexConfig or TextConfig.
        causal: bool. Whether a token sees only those before it.
        padding_mask: (B, N) bool, symbolic, or None. True for tokens that may be seen.
    """
    seen = {} if padding_mask is None else {"padding_mask": padding_mask}
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
        )(x, **seen)
    return x


def final_norm(x, config):
    """The norm behind the blocks, any shape -> the same."""
    return LayerNorm(config.epsilon, name="norm")(x)


def project(x, config):
    """Project pooled tokens to the shared space: (B, D) -> (B, projection_dim)."""
    dense = Dense(config.projection_dim, use_bias=config.use_projection_bias, name="projection")
    return dense(x)
