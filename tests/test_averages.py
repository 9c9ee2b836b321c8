"""Averaged weights after a fit, and in the next one."""

import keras
import numpy as np
import pytest
from tiny_models import tiny_clip, tiny_pairs

from keras_clip.train.optimizer import adamw


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX alone gives arrays away")
def test_averaged_weights_train_on_in_a_second_fit():
    model = tiny_clip()
    model.compile(adamw(model, 1e-3, steps=4, ema_momentum=0.9))
    for _ in range(2):
        model.fit(tiny_pairs(4), batch_size=4, verbose=0)
    assert int(model.optimizer.iterations) == 2
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
