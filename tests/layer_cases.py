"""Every layer of the package in a few configurations, with inputs that fit."""

from dataclasses import dataclass

import keras
import numpy as np

from keras_clip import layers

IDS = "ids"  # stands for a (B, N) input of token ids
GRIDS = "grids"  # stands for a (B, 2) input of patches down and across


INTEGERS = {IDS: (5,), GRIDS: (2,)}


@dataclass(frozen=True)
class Case:
    """A layer's class and arguments, and the shapes of its inputs without the batch."""

    kind: type
    arguments: dict
    shapes: tuple

    def make(self, **more):
        return self.kind(**self.arguments, **more)

    def arrays(self, batch=2):
        """Inputs of a batch."""
        random = np.random.default_rng(0)
        found = []
        for shape in self.shapes:
            if shape == IDS:
                found.append(random.permuted(np.tile(np.arange(5), (batch, 1)), axis=1))
                found[-1] = found[-1].astype("int32")
            elif shape == GRIDS:
                found.append(np.resize(np.array([[2, 2], [5, 1], [1, 4]], "int32"), (batch, 2)))
            else:
                found.append(random.normal(size=(batch, *shape)).astype("float32"))
        return found

    def symbols(self, name="x"):
        """Keras inputs for `make()`."""
        return [
            keras.Input(INTEGERS[shape], dtype="int32", name=f"{name}_{i}")
            if shape in INTEGERS
            else keras.Input(shape, name=f"{name}_{i}")
            for i, shape in enumerate(self.shapes)
        ]


def _case(kind, *shapes, **arguments):
    return Case(kind, arguments, shapes)


TOKENS = (5, 8)

CASES = {
    "mlp": _case(layers.MLP, TOKENS, mlp_dim=12),
    "mlp_dropout": _case(layers.MLP, TOKENS, mlp_dim=12, activation="quick_gelu", dropout_rate=0.1),
    "mlp_swiglu": _case(layers.MLP, TOKENS, mlp_dim=12, activation="swiglu"),
    "attention": _case(layers.SelfAttention, TOKENS, num_heads=2),
    "attention_wide": _case(layers.SelfAttention, TOKENS, num_heads=2, head_dim=3, use_bias=False),
    "attention_causal": _case(
        layers.SelfAttention, TOKENS, num_heads=4, causal=True, dropout_rate=0.1
    ),
    "attention_pooling": _case(layers.AttentionPooling, TOKENS, num_heads=2, mlp_dim=12),
    "class_token": _case(layers.ClassToken, TOKENS),
    "class_tokens": _case(layers.ClassToken, TOKENS, num_tokens=2),
    "registers": _case(layers.RegisterTokens, TOKENS, num_tokens=4),
    "layer_norm": _case(layers.LayerNorm, TOKENS, epsilon=1e-5),
    "layer_scale": _case(layers.LayerScale, TOKENS, initial_value=0.5),
    "logit_scale": _case(layers.LogitScale, (8,), (8,), initial_scale=10.0, max_scale=50.0),
    "logit_bias": _case(layers.LogitScale, (8,), (8,), max_scale=None, initial_bias=-10.0),
    "patches": _case(layers.PatchEmbedding, (4, 4, 3), hidden_dim=8, patch_size=2),
    "patches_pair": _case(
        layers.PatchEmbedding, (4, 9, 3), hidden_dim=8, patch_size=(2, 3), use_bias=False
    ),
    "patch_dropout": _case(layers.PatchDropout, TOKENS, rate=0.5, seed=1),
    "predictions": _case(layers.Predictions, (5,), activation="sigmoid", class_names=list("abcde")),
    "positions": _case(layers.PositionEmbedding, (10, 8)),
    "positions_grid": _case(
        layers.PositionEmbedding, (7, 8), grid_size=(2, 3), num_prefix_tokens=1
    ),
    "positions_text": _case(layers.PositionEmbedding, TOKENS, grid_size=(9,)),
    "positions_naflex": _case(layers.NaFlexPositionEmbedding, TOKENS, GRIDS, grid_size=(3, 4)),
    "patch_mask": _case(layers.PatchMask, TOKENS, GRIDS),
    "pool_first": _case(layers.TokenPooling, TOKENS),
    "pool_mean": _case(layers.TokenPooling, TOKENS, mode="mean", num_prefix_tokens=1),
    "pool_both": _case(layers.TokenPooling, TOKENS, mode="class_and_mean", num_prefix_tokens=2),
    "pool_highest": _case(layers.EndOfTextPooling, TOKENS, IDS),
    "pool_end": _case(layers.EndOfTextPooling, TOKENS, IDS, end_token_id=2),
    "stochastic_depth": _case(layers.StochasticDepth, TOKENS, rate=0.3, seed=1),
    "block": _case(layers.TransformerEncoderBlock, TOKENS, num_heads=2, mlp_dim=12),
    "block_all": _case(
        layers.TransformerEncoderBlock,
        TOKENS,
        num_heads=2,
        mlp_dim=12,
        head_dim=3,
        activation="quick_gelu",
        epsilon=1e-5,
        causal=True,
        use_qkv_bias=False,
        dropout_rate=0.1,
        stochastic_depth_rate=0.1,
        layer_scale=0.1,
    ),
    "bottleneck": _case(layers.BottleneckBlock, (4, 6, 8), filters=4),
    "bottleneck_stride": _case(layers.BottleneckBlock, (4, 6, 8), filters=2, stride=2),
    "mean_token": _case(layers.MeanToken, (2, 3, 8)),
    "first_token": _case(layers.FirstTokenAttention, TOKENS, num_heads=2, output_dim=6),
    "unit_norm": _case(layers.UnitNorm, TOKENS),
}


def every_layer(dense=False, dtype=None):
    """One model of all cases, {case: output}: it compiles in a fraction of the time of many.

    Args:
        dense: put a `Dense` before each, to see that gradients come through.
        dtype: dtype policy of every layer.
    """
    inputs, outputs = {}, {}
    for name, case in CASES.items():
        symbols = case.symbols(name)
        inputs.update({symbol.name: symbol for symbol in symbols})
        if dense and case.kind is not layers.PatchMask:  # through which no gradient comes
            symbols = [
                x
                if shape in INTEGERS
                else keras.layers.Dense(shape[-1], name=f"{name}_dense_{i}")(x)
                for i, (x, shape) in enumerate(zip(symbols, case.shapes, strict=True))
            ]
        outputs[name] = case.make(name=name, dtype=dtype)(*symbols)
        if dense and case.kind is layers.PatchDropout:  # of fewer tokens in training
            outputs[name] = keras.layers.GlobalAveragePooling1D()(outputs[name])
    return keras.Model(inputs, outputs)


def every_input(batch=2):
    """A batch for `every_layer`."""
    return {
        f"{name}_{i}": array
        for name, case in CASES.items()
        for i, array in enumerate(case.arrays(batch))
    }
