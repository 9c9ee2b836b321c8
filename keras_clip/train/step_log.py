"""What a run did, step by step: CSV files, and TensorBoard's."""

import csv
import weakref
from pathlib import Path

from keras_clip.preprocessing.atomic_file import whole_file
from keras_clip.train.pace import LossSince, Pace, evaluated
from keras_clip.train.steps import StepCallback

STEPS = ("step", "loss", "learning_rate", "logit_scale", "pairs_per_second")
EVALUATIONS = ("step", "metric", "value")


class StepLog(StepCallback):
    """Write `steps.csv`, `evaluations.csv` and TensorBoard events into a directory.

    A row of the first has `step`, `loss` (the mean since the row before), `learning_rate`,
    `logit_scale` and `pairs_per_second` (without steps that evaluated); one of the second has
    `step`, `metric` and `value`. A run that resumes appends, and rows of steps that it repeats are
    dropped first. On several hosts one of them logs.

    It stands behind the callbacks that evaluate.

    Args:
        directory: str or path, created.
        every: int. Steps from one row to the next.
        batch_size: int or None. Pairs a step; None: `pairs_per_second` stays empty.
        tensorboard: bool. Whether there are TensorBoard events too.

    Raises:
        ImportError: when `fit` begins: TensorBoard events are asked for and tensorboardX is absent.
    """

    def __init__(self, directory, every=10, batch_size=None, tensorboard=True):
        super().__init__()
        if every < 1:
            raise ValueError(f"every is at least 1, not {every}.")
        self.directory, self.every, self.batch_size = Path(directory), every, batch_size
        self.tensorboard, self.writer = tensorboard, None
        self.loss, self.pace = LossSince(), Pace()

    def on_start(self, logs):
        self.pace, self.written = Pace(), set()
        self.directory.mkdir(parents=True, exist_ok=True)
        for name, header in (("steps.csv", STEPS), ("evaluations.csv", EVALUATIONS)):
            _keep_until(self.directory / name, header, self.step)
        if self.tensorboard:
            self.writer = _writer(self.directory, self.step + 1)
            self.close = weakref.finalize(self, self.writer.close)
        if self.step == 0:  # a run that resumes has written it
            self._evaluation(logs)

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self.loss.start()

    def on_step(self, logs):
        self.pace.step(self.steps_taken, bool(evaluated(logs)))
        if self.due(self.every):
            rate = self.pace.rate
            values = {
                "loss": self.loss.take(self.steps_in_epoch, (logs or {}).get("loss")),
                "learning_rate": float(self.model.optimizer.learning_rate),
                "logit_scale": getattr(self.model, "scale", None),
                "pairs_per_second": rate and self.batch_size and rate * self.batch_size,
            }
            self.pace.clear()
            self._write("steps.csv", [(self.step, *values.values())])
            self._events("train", values)
        self._evaluation(logs)

    def on_epoch_end(self, epoch, logs=None):
        self._evaluation(logs)

    def on_train_end(self, logs=None):
        if self.writer:
            self.close()
            self.writer = None

    def _evaluation(self, logs):
        # The end of an epoch repeats what its last step gave.
        found = {k: v for k, v in evaluated(logs).items() if (self.step, k) not in self.written}
        if found:
            self.written = {(self.step, name) for name in evaluated(logs)}
            self._write("evaluations.csv", [(self.step, *item) for item in found.items()])
            self._events(None, found)

    def _write(self, name, rows):
        with open(self.directory / name, "a", newline="") as file:
            csv.writer(file).writerows(rows)

    def _events(self, group, values):
        if self.writer:
            for name, value in values.items():
                if value is not None:
                    tag = f"{group}/{name}" if group else name
                    self.writer.add_scalar(tag, value, self.step)


def _keep_until(path, header, step):
    """Leave the whole rows of a CSV file up to a step, and its header."""
    rows = []
    if step and path.exists():
        with open(path, newline="") as file:
            rows = [row for row in csv.reader(file) if len(row) == len(header)]
        rows = [row for row in rows if row[0].isdigit() and int(row[0]) <= step]
    with whole_file(path) as temporary, open(temporary, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def _writer(directory, first_step):
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "TensorBoard events need tensorboardX: pip install 'keras-clip[train]', or give "
            "StepLog tensorboard=False."
        ) from error
    # Files of one second would have one name.
    suffix = f".{first_step}"
    return SummaryWriter(str(directory), purge_step=first_step, filename_suffix=suffix)
