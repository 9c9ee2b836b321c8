"""Models to save and restore: a CLIP with every random layer, and one that compiles at once."""

import keras
import numpy as np
from tiny_models import tiny_clip, tiny_images, tiny_token_ids

BATCH, STEPS = 4, 8


class Pairs(keras.utils.PyDataset):
    """Batches start to stop of an endless row; batch k depends on k alone."""

    def __init__(self, start=0, stop=STEPS):
        super().__init__()
        self.start, self.stop = start, stop

    def __len__(self):
        return self.stop - self.start

    def __getitem__(self, index):
        return (self.batch(np.random.default_rng(self.start + index)),)

    def batch(self, random):
        images = tiny_images(BATCH) + random.normal(size=(BATCH, 1, 1, 3)).astype("float32")
        return {"images": images, "token_ids": tiny_token_ids(BATCH)}


class Rows(Pairs):
    """The same for `small_model`; batches whose numbers are in `infinite` cannot be learned."""

    infinite = ()

    def __getitem__(self, index):
        step = self.start + index
        x = np.random.default_rng(step).normal(size=(BATCH, 4)).astype("float32")
        return x * np.float32("inf" if step in self.infinite else 1), x[:, :3]


class StopAfter(keras.callbacks.Callback):
    """Ends `fit` after so many batches."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.batches:
            self.model.stop_training = True


class Seeded(keras.callbacks.Callback):
    """Has every run begin with the same state of torch's own generator, from which dropout draws.

    The first `fit` of a model has another loader before it, which draws a number as well.
    """

    def on_train_begin(self, logs=None):
        keras.utils.set_random_seed(3)


def adamw(**options):
    schedule = keras.optimizers.schedules.CosineDecay(0.01, STEPS)
    options = {"use_ema": True, "ema_momentum": 0.5, **options}
    return keras.optimizers.AdamW(schedule, **options)


def clip_model(optimizer, **changes):
    """A CLIP whose image tower draws random numbers in every way."""
    changes = {"num_layers": 2, "dropout_rate": 0.2, "stochastic_depth_rate": 0.5, **changes}
    model = tiny_clip(**changes)
    model.compile(optimizer)
    model.optimizer.build(model.trainable_variables)
    return model


def small_model(optimizer=None, units=3, activation="tanh", dtype=None, **options):
    layers = [
        keras.Input((4,), name="x"),
        keras.layers.Dense(units, activation, name="dense", dtype=dtype),
        keras.layers.Dropout(0.2, name="dropout", dtype=dtype),
    ]
    model = keras.Sequential(layers, name="small")
    model.compile(optimizer or adamw(), "mse", **options)
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model, data, *callbacks, **options):
    model.fit(data, callbacks=list(callbacks), verbose=0, shuffle=False, **options)


def as_numpy(variable):
    return keras.ops.convert_to_numpy(variable)


def state(model):
    """List of all arrays that training changes."""
    return [as_numpy(v) for v in [*model.variables, *model.optimizer.variables]]


def set_state(model, arrays):
    for variable, array in zip([*model.variables, *model.optimizer.variables], arrays, strict=True):
        variable.assign(array)


def scramble(model):
    """Make it what another process would begin with: other weights and random states."""
    set_state(model, [array + np.ones_like(array) for array in state(model)])
    keras.utils.set_random_seed(7)  # dropout on torch draws from torch's own generator


def assert_same(one, two):
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def names(directory):
    return sorted(path.name for path in directory.iterdir())
