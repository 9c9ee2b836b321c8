"""A run whose loss is no longer a number ends, and says where that began."""

import math

from keras import ops

from keras_clip.train.diagnosis import first_not_finite
from keras_clip.train.steps import StepCallback, averages, skipped_steps, skips


class TrainingDivergedError(ArithmeticError):
    """The loss of a step is not finite.

    Args:
        message: str.
        step: int, the step, 1 the first.
        layer: str, the input, weight or layer where it began; None where that is not known.
    """

    def __init__(self, message, step, layer=None):
        super().__init__(message)
        self.step, self.layer = step, layer


class StopOnNaN(StepCallback):
    """End `fit` at the first loss that is not finite, name the layer, keep the weights.

    The model is left with finite weights: those before that step, where the optimizer skips such
    a step (`keras_clip.train.AdamW` does); else those of the last copy, which this callback makes.

    Args:
        batches: what gives the batch of a step, to find the layer: `batches[k]` or `batches(k)` is
            that of step k + 1, as of `keras_clip.train.Pairs`. None: the weights alone are looked
            at.
        every: int. Steps between copies of the weights, in the processor's memory. With an
            optimizer that skips there are none: instead the run ends when it skipped more than
            half of so many steps, whose losses may be finite where gradients are not.

    Raises:
        TrainingDivergedError: out of `fit`.
    """

    def __init__(self, batches=None, every=100):
        super().__init__()
        self.batches, self.every = batches, every
        self.copied, self.copied_step, self.skipped = [], 0, 0

    def on_start(self, logs):
        self.copied, self.guarded = [], skips(self.model.optimizer)
        self._look()

    def on_step(self, logs):
        # Keras has read the running mean already, which one bad loss makes a NaN.
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            self._end(loss)
        elif self.due(self.every):
            self._look()

    def _look(self):
        if not self.guarded:
            self._copy()
            return
        before, self.skipped = self.skipped, skipped_steps(self.model.optimizer)
        if self.step and self.skipped - before > self.every / 2:
            raise TrainingDivergedError(
                f"{self.skipped - before} of the {self.every} steps to step {self.step} were left "
                "out, since their gradients were not finite, though their losses were: lower the "
                "learning rate, or train in float32 or bfloat16. The weights are the last good "
                "ones.",
                self.step,
            )

    def _copy(self):
        pairs = averages(self.model)
        # `fit` may end with the averages even after an error; before the first step they are zeros.
        pairs = [(average, average if self.step else weight) for weight, average in pairs]
        pairs += [(weight, weight) for weight in self.model.weights]
        values = [(target, ops.convert_to_numpy(ops.copy(value))) for target, value in pairs]
        if all(_finite(value) for _, value in values):  # a loss may be finite when they are not
            self.copied, self.copied_step = values, self.step

    def _end(self, loss):
        found = first_not_finite(self.model) if self.copied else None
        kept = "The weights are those before that step."
        if found and found.place:
            for variable, value in self.copied:
                variable.assign(value)
            kept = f"The weights are those of step {self.copied_step}, the last copy."
        batch = self._batch()
        cause = first_not_finite(self.model, batch)
        if cause.place is None and found and found.place:
            cause = type(cause)(
                found.place,
                f"{cause.text[:-1]} at step {self.copied_step}, and the weights grew beyond all "
                "bounds since: lower the learning rate, warm up for longer, or clip gradients.",
            )
        raise TrainingDivergedError(
            f"The loss of step {self.step} is {loss}. {cause.text} {kept}"
            + ("" if batch is not None else " Give batches=... to have the layer named."),
            self.step,
            cause.place,
        )

    def _batch(self):
        if self.batches is None:
            return None
        place = self.step - 1
        return self.batches(place) if callable(self.batches) else self.batches[place]


def _finite(value):
    return bool(ops.all(ops.isfinite(value)))
