"""The `fit` of a recipe: its callbacks, its end, and how it is interrupted."""

import signal
import threading
from contextlib import contextmanager

from keras_clip.train.best_weights import BestWeights
from keras_clip.train.checkpoint_processes import is_first
from keras_clip.train.checkpoints import Checkpoints
from keras_clip.train.evaluation import Evaluate
from keras_clip.train.not_a_number import StopOnNaN
from keras_clip.train.pace import LossSince
from keras_clip.train.progress import Progress
from keras_clip.train.step_log import StepLog
from keras_clip.train.steps import StepCallback

CHECKPOINTS, LOGS, BEST = "checkpoints", "logs", "best"


class Fitting:
    """Fits a CLIP as a recipe says, once.

    Args:
        recipe: Recipe.
        directory: pathlib.Path of the run.
        steps: int. Of the whole run.
        measured: {name: function} as of `Evaluate`.
        progress: bool.

    Attributes:
        step: int, the last one.
        interrupted: bool, whether a signal ended the run.
        metrics: {"name/metric": float} of the weights that the run ends with.
        loss: float, the mean over the last `log_every` steps; None where there were none.
    """

    def __init__(self, recipe, directory, steps, measured, progress=True):
        self.recipe, self.directory, self.steps = recipe, directory, steps
        self.measured, self.progress = measured, progress
        self.interrupted, self.metrics, self.loss, self.step = False, {}, None, 0

    def fit(self, clip, pairs, start):
        """Train from step `start` to the end, or until a signal comes."""
        callbacks = self._callbacks(pairs, start)
        if start < self.steps:
            with self._signals():
                clip.fit(
                    pairs.batches(start, self.steps), steps_per_epoch=self.steps - start,
                    callbacks=callbacks, verbose=0, shuffle=False,
                )  # fmt: skip
        else:
            self._end_only(clip)
        self.step, self.loss = self.watch.step or start, self.watch.last
        self.metrics = self._metrics()

    def _callbacks(self, pairs, start):
        run, batch_size = self.recipe.run, self.recipe.data.batch_size
        functions = {name: self._unless_interrupted(f) for name, f in self.measured.items()}
        every = run.evaluate_every
        self.evaluate = functions and Evaluate(every, functions, first=start == 0)
        self.best = run.best and BestWeights(
            run.best, directory=self.directory / BEST, patience=run.patience
        )
        self.checkpoints = Checkpoints(self.directory / CHECKPOINTS, run.checkpoint_every, run.keep)
        self.watch, first = Watch(self, run.log_every), is_first()
        found = [
            self.watch,
            StopOnNaN(pairs),
            self.evaluate,
            self.best,
            first and self.progress and Progress(batch_size, self.steps),
            first and StepLog(self.directory / LOGS, run.log_every, batch_size),
            self.checkpoints,  # behind the evaluations, so that a run resumes before one it missed
        ]
        return [callback for callback in found if callback]

    def _unless_interrupted(self, function):
        return lambda model: {} if self.interrupted else function(model)

    def _end_only(self, clip):
        """What `fit` does behind the last step, of a run that was killed between the two."""
        for callback in filter(None, (self.evaluate, self.best)):
            callback.set_model(clip)
            callback.on_train_begin({})
        if self.evaluate:
            self.evaluate.on_epoch_end(0, {})
        clip.optimizer.finalize_variable_values(clip.trainable_variables)
        if self.best:
            self.best.on_train_end()

    def _metrics(self):
        if not (self.evaluate and self.evaluate.history):
            return {}
        history = dict(self.evaluate.history)
        last = self.evaluate.history[-1][1]
        if not self.best:
            return last
        return history.get(self.best.best_step, {self.recipe.run.best: self.best.best})

    @contextmanager
    def _signals(self):
        """Let Ctrl+C and SIGTERM end the run behind a step; a second one ends it at once."""
        from_here = threading.current_thread() is threading.main_thread()
        kinds = (signal.SIGINT, signal.SIGTERM) if from_here else ()
        before = {kind: signal.getsignal(kind) for kind in kinds}

        def stop(kind, frame):
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True

        for kind in kinds:
            signal.signal(kind, stop)
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)


class Watch(StepCallback):
    """Ends `fit` where a signal came, and knows the last step and its loss."""

    def __init__(self, fitting, every):
        super().__init__()
        self.fitting, self.every, self.loss, self.last = fitting, every, LossSince(), None

    def on_step(self, logs):
        if self.fitting.interrupted:
            self.model.stop_training = True
        if self.due(self.every) or self.step == self.fitting.steps:
            self.last = self.loss.take(self.steps_in_epoch, float(logs["loss"]))
