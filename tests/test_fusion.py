"""The gradient of a stack of blocks costs as much a block, however many there are."""

import keras
import numpy as np
import pytest

from keras_clip.layers import TransformerEncoderBlock


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="what JAX's compiler counts")
def test_work_grows_by_the_same_for_each_block():
    import jax

    def work(depth):
        tokens = x = keras.Input((5, 16))
        for _ in range(depth):
            x = TransformerEncoderBlock(2, 32)(x)
        model = keras.Model(tokens, x)
        weights = [weight.value for weight in model.trainable_variables]

        def total(weights, x):
            return model.stateless_call(weights, [], x, training=True)[0].sum()

        step = jax.jit(jax.grad(total)).lower(weights, np.ones((2, 5, 16), "float32"))
        return step.compile().cost_analysis()["flops"]

    four, eight, twelve = (work(depth) for depth in (4, 8, 12))
    assert twelve - eight == pytest.approx(eight - four, rel=1e-3)
