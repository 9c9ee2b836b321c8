"""A progress bar for `fit`, or plain lines where there is no terminal."""

import time
import weakref

from keras_clip.train.pace import LossSince, Pace, evaluated
from keras_clip.train.steps import StepCallback


class Progress(StepCallback):
    """Show pairs a second, loss, logit scale, remaining time and the latest evaluation.

    It stands behind the callbacks that evaluate; give `fit` verbose=0.

    Args:
        batch_size: int or None. Pairs a step; None: steps a second are shown.
        steps: int or None. Steps of the whole run; None: those of this `fit`, where Keras knows.
        seconds: float or None. Time from one line to the next; None: 1 on a terminal, else 30.
        console: rich.console.Console or None. None: standard error.
    """

    def __init__(self, batch_size=None, steps=None, seconds=None, console=None):
        super().__init__()
        self.batch_size, self.steps, self.seconds, self.console = (
            batch_size, steps, seconds, console,
        )  # fmt: skip
        self.loss, self.pace, self.bar, self.latest = LossSince(), Pace(50), None, {}

    def on_start(self, logs):
        from rich.console import Console

        self.console = self.console or Console(stderr=True)
        self.pace, self.latest, self.shown_at = Pace(50), evaluated(logs), -float("inf")
        self.total = self.steps or self._planned()
        if self.console.is_terminal:
            self.bar = self._bar()
            self.task = self.bar.add_task("", total=self.total, completed=self.step, text="")
            self.bar.start()
            # An error in `fit` calls nobody, and a terminal should have its cursor back.
            self.close = weakref.finalize(self, self.bar.stop)

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self.loss.start()

    def on_step(self, logs):
        found = evaluated(logs)
        self.pace.step(self.steps_taken, bool(found))
        self.latest.update(found)
        pause = self.seconds if self.seconds is not None else 1 if self.bar else 30
        if found or self.step == self.total or time.monotonic() - self.shown_at >= pause:
            self._show(self.loss.take(self.steps_in_epoch, logs.get("loss", float("nan"))))
        elif self.bar:
            self.bar.update(self.task, completed=self.step)

    def on_epoch_end(self, epoch, logs=None):
        new = {k: v for k, v in evaluated(logs).items() if self.latest.get(k) != v}
        self.latest.update(new)
        if new:
            self._show(logs.get("loss", float("nan")))

    def on_train_end(self, logs=None):
        if self.bar:
            self.close()
            self.bar = None

    def _show(self, loss):
        self.shown_at = time.monotonic()
        text = " ".join(self._words(loss))
        if self.bar:
            self.bar.update(self.task, completed=self.step, text=text)
        else:
            of = f"/{self.total}" if self.total else ""
            self.console.print(f"step {self.step}{of}: {text}{self._left()}", highlight=False)

    def _words(self, loss):
        yield f"loss {loss:.4f}"
        if getattr(self.model, "scale", None) is not None:
            yield f"scale {self.model.scale:.1f}"
        if self.pace.rate:
            unit = "pairs" if self.batch_size else "steps"
            yield f"{self.pace.rate * (self.batch_size or 1):.3g} {unit}/s"
        for name, value in self.latest.items():
            yield f"{name} {value:.4g}"

    def _left(self):
        if not (self.total and self.pace.rate) or self.step >= self.total:
            return ""
        minutes, seconds = divmod(round((self.total - self.step) / self.pace.rate), 60)
        return f", {minutes // 60}:{minutes % 60:02}:{seconds:02} left"

    def _planned(self):
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        return self.step + steps * epochs if steps and epochs else None

    def _bar(self):
        from rich import progress

        columns = (
            progress.TextColumn("step"), progress.MofNCompleteColumn(), progress.BarColumn(),
            progress.TextColumn("{task.fields[text]}"), progress.TimeRemainingColumn(),
        )  # fmt: skip
        return progress.Progress(*columns, console=self.console)
