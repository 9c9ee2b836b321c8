"""The best weights of a run, by what an evaluation measures, and an early end."""

import json
import math
from pathlib import Path

from keras import ops

from keras_clip.preprocessing.atomic_file import whole_file, write_bytes
from keras_clip.train.steps import StepCallback, is_averaged, weights_of

WEIGHTS, DESCRIPTION = "best.weights.h5", "best.json"


class BestWeights(StepCallback):
    """Keep the weights for which an evaluation was best, and end `fit` with them.

    It stands behind the `Evaluate` that measures the metric. The weights before the first step
    count, where `Evaluate` measures them: training that only harms ends with what it began with.

    Args:
        metric: str. A key of the logs, such as `zero_shot/top1` or `retrieval/text_to_image@1`.
        mode: `max` or `min`. Which values are better.
        directory: str or path, where the weights are kept in a file, and are found by a run that
            resumes; None: in memory.
        patience: int or None. End the run after so many evaluations without a better one.
        averaged: bool or None, as of `Evaluate`, whose is best given the same.

    Attributes:
        best: float, the best value so far.
        best_step: int, its step.
    """

    def __init__(
        self, metric="zero_shot/top1", mode="max", directory=None, patience=None, averaged=None
    ):
        super().__init__()
        if mode not in ("max", "min"):
            raise ValueError(f"mode is 'max' or 'min', not {mode!r}.")
        self.metric, self.mode, self.patience, self.averaged = metric, mode, patience, averaged
        self.directory = None if directory is None else Path(directory)
        self.best = self.best_step = self.kept = self.seen_step = None
        self.waited = 0

    def on_start(self, logs):
        self.best = self.best_step = self.kept = self.seen_step = None
        self.waited = 0
        if self.directory is not None:
            self.directory.mkdir(parents=True, exist_ok=True)
            if self.step and (self.directory / DESCRIPTION).exists():
                self._resume()
        self._consider(logs)

    def on_step(self, logs):
        self._consider(logs)

    def on_epoch_end(self, epoch, logs=None):
        self._consider(logs)

    def on_train_end(self, logs=None):
        if self.best is None:
            raise ValueError(
                f"Nothing measured {self.metric!r}, so there are no best weights: put an Evaluate "
                "that does before BestWeights in callbacks=[...]."
            )
        if self.kept is None:
            self.model.load_weights(self.directory / WEIGHTS)
        else:
            for variable, value in zip(self.model.weights, self.kept, strict=True):
                variable.assign(value)

    def _consider(self, logs):
        if self.metric not in (logs or {}) or self.seen_step == self.step:
            return
        self.seen_step, value = self.step, logs[self.metric]
        sign = 1 if self.mode == "max" else -1
        if not math.isnan(value) and (self.best is None or sign * (value - self.best) > 0):
            self.best, self.best_step, self.waited = value, self.step, 0
            with weights_of(self.model, is_averaged(self.model, self.averaged)):
                self._keep()
            return
        self.waited += 1
        if self.patience is not None and self.waited >= self.patience:
            self.model.stop_training = True

    def _keep(self):
        if self.directory is None:
            self.kept = [ops.convert_to_numpy(ops.copy(v)) for v in self.model.weights]
            return
        with whole_file(self.directory / WEIGHTS) as temporary:
            self.model.save_weights(temporary)
        write_bytes(self.directory / DESCRIPTION, json.dumps(self._description()).encode())

    def _description(self):
        return {
            "metric": self.metric,
            "mode": self.mode,
            "parameters": self.model.count_params(),
            "value": self.best,
            "step": self.best_step,
        }

    def _resume(self):
        path = self.directory / DESCRIPTION
        found = json.loads(path.read_text())
        for key, value in self._description().items():
            if key not in ("value", "step") and found[key] != value:
                raise ValueError(
                    f"{path}: {key} is {found[key]!r} there and {value!r} here, so these are the "
                    "best weights of another run: give another directory."
                )
        self.best, self.best_step = found["value"], found["step"]
