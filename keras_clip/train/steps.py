"""What callbacks on steps share: the number of the step, and weights that can be looked at."""

from contextlib import contextmanager

import keras
from keras import ops

from keras_clip.train.checkpoint_state import iterations_of, step_of


class StepCallback(keras.callbacks.Callback):
    """A callback that knows how many steps the model was trained for, a resumed run's too.

    A subclass has `on_start(logs)`, before the first step, and `on_step(logs)`, after each. What
    one callback writes into `logs`, those behind it in the list read.
    """

    step = 0  # of the whole run
    steps_in_epoch = 0  # those that Keras's running means are over

    def on_train_begin(self, logs=None):
        self.step = self.epoch_start = step_of(self.model)
        self.on_start(logs)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch_start, self.steps_in_epoch = self.step, 0

    def on_train_batch_end(self, batch, logs=None):
        before, self.steps_in_epoch = self.step, batch + 1
        self.step = self.epoch_start + self.steps_in_epoch
        self.steps_taken = self.step - before  # more than one with steps_per_execution
        self.on_step(logs)

    def on_start(self, logs):
        """Do what is to be done before the first step."""

    def on_step(self, logs):
        """Do what is to be done after a step."""

    def due(self, every):
        """Whether the last step, or one of those executed with it, was the n-th."""
        return bool(every) and self.step // every > (self.step - self.steps_taken) // every


def is_averaged(model, averaged=None):
    """Whether averages of the weights are meant, which an optimizer with `use_ema` keeps.

    Args:
        model: compiled keras.Model.
        averaged: bool or None. None: where there are some, since `fit` ends with them.

    Raises:
        ValueError: they are asked for, and there are none.
    """
    has = bool(getattr(_inner(model), "use_ema", False))
    if averaged and not has:
        raise ValueError(
            "averaged=True needs an optimizer that keeps averages of the weights: give it "
            "use_ema=True, or leave averaged out."
        )
    return has if averaged is None else averaged


@contextmanager
def weights_of(model, averaged=False):
    """Have the weights of this step in the model's variables, or their averages.

    Afterwards the run goes on as if nobody had looked: its weights and its mean loss are the same
    to the bit, whatever was predicted or evaluated meanwhile.

    Args:
        model: keras.Model in a `fit`, as a callback's `model` gives it, which on JAX fetches the
            weights.
        averaged: bool. Whether the optimizer's averages take the weights' place.
    """
    metrics = [(v, ops.convert_to_numpy(v)) for v in model.metrics_variables]
    # Before the first step that was taken the averages are zeros.
    begun = averaged and iterations_of(model) > skipped_steps(model.optimizer)
    pairs = averages(model) if begun else []
    _exchange(pairs)
    try:
        yield
    finally:
        _exchange(pairs)
        for variable, value in metrics:
            variable.assign(value)


def skips(optimizer):
    """Whether an optimizer leaves out steps whose gradients are not finite."""
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    return scaled or getattr(optimizer, "skip_nonfinite", False)


def skipped_steps(optimizer):
    """How many steps an optimizer has left out, as far as it counts them."""
    counter = getattr(getattr(optimizer, "inner_optimizer", optimizer), "skipped_steps", None)
    return 0 if counter is None else int(ops.convert_to_numpy(counter))


def averages(model):
    """List of (weight, its average) of an optimizer with `use_ema`; empty without."""
    optimizer = _inner(model)
    if not getattr(optimizer, "use_ema", False):
        return []
    pairs = zip(
        optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True
    )
    return [(weight, average) for weight, average in pairs if average is not None]


def _exchange(pairs):
    # An exchange, not a copy: Keras on JAX gives away the arrays of a model that predicts, which
    # would be the average's too.
    for weight, average in pairs:
        value = ops.copy(weight)
        weight.assign(average)
        average.assign(value)


def _inner(model):
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)
