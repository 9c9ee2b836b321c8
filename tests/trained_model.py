"""A tiny CLIP that is compiled once and trained many times, for tests of callbacks."""

from functools import cache

import keras
import numpy as np
from tiny_models import tiny_clip, tiny_pairs

from keras_clip.train.evaluation import Evaluate
from keras_clip.train.optimizer import AdamW

PAIRS, MOMENTUM, RATE = 6, 0.7, 0.003


class Batches(keras.utils.PyDataset):
    """Eight given batches; those from `start` on, as a run that resumes takes them."""

    def __init__(self, start=0, stop=8, change=None):
        super().__init__()
        self.start, self.stop, self.change = start, stop, change

    def __len__(self):
        return self.stop - self.start

    def __getitem__(self, index):
        return (self.batch(self.start + index),)

    def batch(self, number):
        pairs = {k: v[PAIRS * number :][:PAIRS].copy() for k, v in tiny_pairs(8 * PAIRS).items()}
        if self.change:
            self.change(number, pairs)
        return pairs


def as_numpy(x):
    return keras.ops.convert_to_numpy(x)


def weights(model):
    return [as_numpy(weight).copy() for weight in model.weights]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@cache  # on JAX a step takes seconds to compile
def trained(kind):
    """The Trained with an optimizer that is `averaging`, or `skipping` steps of NaN."""
    averages = {"use_ema": True, "ema_momentum": MOMENTUM}
    return Trained(keras.optimizers.AdamW(RATE, **averages) if kind == "averaging" else AdamW(RATE))


class Trained:
    """One compiled model for many runs."""

    def __init__(self, optimizer):
        self.model = tiny_clip(pooling="mean")
        self.model.compile(optimizer)
        self.optimizer = optimizer
        self.optimizer.build(self.model.trainable_variables)
        self.first = weights(self.model), [as_numpy(v).copy() for v in optimizer.variables]

    def fit(self, *callbacks, data=None, start=0, epochs=1, **options):
        """Train from the first weights; from step `start` as a run that resumes does."""
        if not start:
            self.model.set_weights(self.first[0])
            for variable, value in zip(self.optimizer.variables, self.first[1], strict=True):
                variable.assign(value)
        data = data or Batches(start)
        return self.model.fit(
            data, shuffle=False, verbose=0, epochs=epochs, callbacks=list(callbacks), **options
        ).history


def scores(*values):
    """An evaluation of each step that gives these values, and the weights that it saw."""
    values, seen = iter(values), []

    def measure(model):
        seen.append(weights(model))
        return {"top1": next(values)}

    return Evaluate(1, {"zero_shot": measure}), seen
