"""Checkpoints during `fit`, written in the background."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras

from keras_clip.convert.errors import CheckpointError
from keras_clip.train import checkpoint_files as files
from keras_clip.train.checkpoint_formats import OrbaxWriter, SafetensorsWriter, is_sharded
from keras_clip.train.checkpoint_generators import Held
from keras_clip.train.checkpoint_processes import is_first
from keras_clip.train.checkpoint_state import (
    describe,
    iterations_of,
    set_step,
    step_of,
    variables_of,
)


class Checkpoints(keras.callbacks.Callback):
    """Callback that saves the whole state of training every n steps, and at the end of `fit`.

    A checkpoint is a folder `step_00001000` with `checkpoint.json` (step, configuration, versions,
    checksums) and the weights, the optimizer with its averages and loss scale, and the random
    states: in `state.safetensors`, or, where JAX shards variables over devices, in `state/`, to
    which Orbax lets every process write its own shards. It is written under a hidden name, flushed
    to the disk and renamed, so that what is found is whole. Training waits only for the copy out of
    the devices and, if the one before is still being written, for that.

    A checkpoint that cannot be written, as on a full disk, is reported on stderr when the next one
    is due or `fit` ends; training goes on, the earlier ones stay, and the next one is tried.

    A step is a batch that the model was trained on, counted since its first one. It equals
    `optimizer.iterations` unless batches were skipped for not being finite, or gradients are
    accumulated. One run a folder.

    Args:
        directory: folder, created.
        every: int >= 1. Steps between checkpoints.
        keep: int >= 1. How many of the newest stay.
        keep_every: int or None. Checkpoints whose step is a multiple of it stay as well.
        extra: dict that JSON can hold, or a function that returns one when a checkpoint is made;
            `latest(directory)["extra"]` reads it.
        asynchronous: bool. False: training waits until a checkpoint is written.
        stop_on_error: bool. Whether a checkpoint that cannot be written ends training.

    Raises:
        ValueError: `every` or `keep` is below 1.
        CheckpointError: when training begins: the folder holds later steps than the model is at;
            with `stop_on_error`, a checkpoint could not be written.
    """

    def __init__(
        self,
        directory,
        every=1000,
        keep=3,
        keep_every=None,
        extra=None,
        asynchronous=True,
        stop_on_error=False,
    ):
        super().__init__()
        for name, value in {"every": every, "keep": keep, "keep_every": keep_every or 1}.items():
            if value < 1:
                raise ValueError(f"{name}={value}: must be at least 1")
        self.directory = Path(directory)
        self.every, self.keep, self.keep_every = every, keep, keep_every
        self.extra, self.asynchronous, self.stop_on_error = extra, asynchronous, stop_on_error
        self.step, self.error = 0, None
        self._epoch_start = self._saved = 0
        self._executor = ThreadPoolExecutor(1, "checkpoints")
        self._writing = None

    def on_train_begin(self, logs=None):
        """Find the step the model is at, and remove what a killed run left half written."""
        self.step = self._saved = step_of(self.model)
        self._generators = Held(self.model.optimizer, self.step)
        if is_first():
            self.directory.mkdir(parents=True, exist_ok=True)
            newest = max((step for step, _ in files.found(self.directory)), default=0)
            if newest > self.step:
                raise CheckpointError(
                    f"{self.directory}: holds a checkpoint of step {newest}, but the model is at "
                    f"step {self.step}; call restore(model, directory), or give an empty folder"
                )
            files.clean(self.directory)

    def on_epoch_begin(self, epoch, logs=None):
        """Batches are counted from here."""
        self._epoch_start = self.step

    def on_train_batch_begin(self, batch, logs=None):
        """Undo what was drawn since the last step, which a resumed run would not draw."""
        self._generators.put()

    def on_train_batch_end(self, batch, logs=None):
        """Save where a multiple of `every` is reached."""
        # With several steps an execution, the last one of an epoch may be cut short.
        count = min(batch + 1, self.params.get("steps") or batch + 1)
        before, self.step = self.step, self._epoch_start + count
        self._generators.take()
        if self.step // self.every != before // self.every:
            self.save()

    def on_epoch_end(self, epoch, logs=None):
        """Save the last state; after this `fit` puts averaged weights in the weights' place."""
        set_step(self.model, self.step)
        if self.model.stop_training or epoch + 1 == self.params.get("epochs"):
            self.save()

    def on_train_end(self, logs=None):
        """Wait for the last checkpoint."""
        self.wait()

    def save(self):
        """Save the state as it is, unless that is done already."""
        if self.step == self._saved:
            return
        self.wait()
        model, step = self.model, self.step  # asking for the model fetches its state from JAX
        set_step(model, step)
        extra = self.extra() if callable(self.extra) else self.extra
        manifest = {**describe(model), "iterations": iterations_of(model), "extra": extra or {}}
        json.dumps(manifest)
        variables = variables_of(model)
        self._saved = step
        try:
            writer = self._begin(variables, step)
        except OSError as error:
            return self._failed(step, error)
        self._writing = step, self._executor.submit(self._finish, writer, step, manifest)
        if not self.asynchronous:
            self.wait()

    def wait(self):
        """Wait until what was saved is written; report what went wrong."""
        if self._writing is not None:
            (step, future), self._writing = self._writing, None
            try:
                future.result()
            except OSError as error:
                self._failed(step, error)

    def _begin(self, variables, step):
        part = files.begin(self.directory, step) if is_first() else None
        if is_sharded(variables):
            return OrbaxWriter(variables, part or files.partial_path(self.directory, step))
        return SafetensorsWriter(variables, part) if is_first() else None

    def _finish(self, writer, step, manifest):
        try:
            if writer is not None:
                writer.finish()
            if is_first():
                files.publish(self.directory, step, manifest)
                files.prune(self.directory, self.keep, self.keep_every)
        except BaseException:
            files.clean(self.directory)
            raise

    def _failed(self, step, error):
        self.error = error
        files.clean(self.directory)
        message = (
            f"{self.directory}: the checkpoint of step {step} cannot be written ({error}); "
            "the earlier ones are as they were"
        )
        if self.stop_on_error:
            raise CheckpointError(f"{message}; make room and restore the last one") from error
        print(f"{message}, training goes on", file=sys.stderr, flush=True)
