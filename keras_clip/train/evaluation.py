"""Evaluations during `fit`: every n steps, with the weights as they are or their averages."""

from keras_clip.train.steps import StepCallback, is_averaged, weights_of


class Evaluate(StepCallback):
    """Measure a model every n steps and at the end of each epoch.

    Each result is `name/metric` in the `logs` of the step, and of the epoch: callbacks behind this
    one in the list see it, Keras's own `EarlyStopping` and `ModelCheckpoint` too. Training goes on
    as if there had been no evaluation.

    Args:
        every: int or None. Steps from one to the next; None: at the end of each epoch alone.
        functions: {name: function of the model that returns {metric: float}}, see
            `keras_clip.train.zero_shot`.
        first: bool. Whether the model is measured before the first step too.
        averaged: bool or None. Whether averages of the weights are measured; None: where the
            optimizer has `use_ema`, since `fit` ends with them.

    Attributes:
        history: list of (step, {"name/metric": float}).
    """

    def __init__(self, every, functions, first=True, averaged=None):
        super().__init__()
        if every is not None and every < 1:
            raise ValueError(f"every is at least 1, not {every}.")
        self.every, self.functions = every, dict(functions)
        self.first, self.averaged = first, averaged
        self.history = []

    def on_start(self, logs):
        is_averaged(self.model, self.averaged)
        if self.first:
            self._measure(logs)

    def on_step(self, logs):
        if self.due(self.every):
            self._measure(logs)

    def on_epoch_end(self, epoch, logs=None):
        self._measure(logs)

    def _measure(self, logs):
        if not self.history or self.history[-1][0] != self.step:
            self.history.append((self.step, self._results()))
        if logs is not None:
            logs.update(self.history[-1][1])

    def _results(self):
        results = {}
        with weights_of(self.model, is_averaged(self.model, self.averaged)):
            for name, function in self.functions.items():
                for metric, value in function(self.model).items():
                    results[f"{name}/{metric}"] = float(value)
        return results
