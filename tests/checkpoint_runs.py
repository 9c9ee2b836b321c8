"""A training run in processes of its own, killed again and again and resumed; see its test.

`python checkpoint_runs.py FOLDER KILLS SEED` trains without a break into FOLDER/whole.npz, then
with kills into FOLDER/run_0.npz and, if that ends before there were enough, run_1.npz, and prints
what the kills met. With `moments` in place of KILLS, a small model is killed at each change that
its checkpoints make to the disk, and the number of changes is printed.

Keras is imported once: each process is forked from this one, in which no array was ever made and no
thread started, so that a start costs little more than building the model.
"""

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

if os.environ["KERAS_BACKEND"] != "tensorflow":
    # Keras's fit imports it where it is installed, which every process would wait for.
    sys.modules["tensorflow"] = None

import keras
import numpy as np
from checkpoint_models import Pairs, Rows, clip_model, fit, small_model, state

from keras_clip.train import Checkpoints, adamw, restore

STEPS, EVERY = 40, 3


class Says(keras.callbacks.Callback):
    """Writes a byte after the first step, from when on the process is killed."""

    def __init__(self, pipe):
        super().__init__()
        self.pipe = pipe

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            os.write(self.pipe, b".")


def train(directory, result, pipe):
    """Train a CLIP from where the folder's checkpoints end; write all that changed."""
    model = clip_model(keras.optimizers.SGD(0.1))
    model.compile(adamw(model, 0.01, STEPS, ema_momentum=0.9))
    # Each process would draw other weights and random states, which a checkpoint overrules.
    keras.utils.set_random_seed(os.getpid())
    if not (step := restore(model, directory)):
        keras.utils.set_random_seed(0)
        for variable in model.variables:
            values = np.arange(int(np.prod(variable.shape))).reshape(variable.shape)
            variable.assign(values if "int" in variable.dtype else np.cos(values) / 3)
    if step == STEPS:
        os.write(pipe, b".")
    fit_rest(model, Pairs(step, STEPS), Checkpoints(directory, every=EVERY, keep=2), Says(pipe))
    np.savez(result, *state(model))


def fit_rest(model, data, *callbacks):
    if len(data):
        fit(model, data, *callbacks)
    else:  # the last checkpoint was written, and fit did not come to its end
        model.optimizer.finalize_variable_values(model.trainable_weights)


def forked(function, *arguments):
    """Run a function in another process; return its number."""
    pid = os.fork()
    if pid:
        return pid
    try:
        function(*arguments)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def started(directory, result):
    """Begin to train in another process; return its number after its first step."""
    reading, writing = os.pipe()
    pid = forked(train, directory, result, writing)
    os.close(writing)
    assert os.read(reading, 1) == b".", "a process failed before it trained"
    os.close(reading)
    return pid


def main(folder, kills, seed):
    random, folder = np.random.default_rng(seed), Path(folder)
    begin = time.monotonic()
    pid = started(folder / "whole", folder / "whole.npz")
    begun = time.monotonic()
    assert os.waitpid(pid, 0)[1] == 0
    took = time.monotonic() - begun
    said = {"killed": 0, "runs": 0, "half_written": 0, "start": begun - begin, "training": took}
    while said["killed"] < kills:
        run, ended = folder / f"run_{said['runs']}", False
        said["runs"] += 1
        while not ended:
            pid = started(run, run.with_suffix(".npz"))
            if said["killed"] < kills:
                time.sleep(random.uniform(0, 1.5 * took / kills))
                os.kill(pid, signal.SIGKILL)
            status = os.waitpid(pid, 0)[1]
            assert status in (0, signal.SIGKILL)
            ended = status == 0
            said["killed"] += not ended
            said["half_written"] += any(run.glob(".step_*"))
    print(json.dumps(said))


CALLS = ("replace", "fsync", "rename", "unlink", "rmdir")


def train_small(directory, result, deadly=0):
    """Train a small model, killed where it makes its n-th change to the folder."""
    model, made = small_model(), []
    for variable in model.variables:
        variable.assign(np.ones(variable.shape))
    step = restore(model, directory)

    def counted(call):
        def change(*arguments, **options):
            made.append(call)
            if len(made) == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return change

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    keras.utils.set_random_seed(0)
    fit_rest(model, Rows(step), Checkpoints(directory, every=2, keep=1))
    np.savez(result, *state(model), step=step, calls=len(made))


def moments(folder):
    """Kill one run at each of its changes to the folder, and let each go on."""
    folder = Path(folder)
    assert os.waitpid(forked(train_small, folder / "whole", folder / "whole.npz"), 0)[1] == 0
    with np.load(folder / "whole.npz") as whole:
        calls = int(whole["calls"])
    for number in range(1, calls + 1):
        run = folder / f"run_{number}"
        killed = os.waitpid(forked(train_small, run, run.with_suffix(".npz"), number), 0)[1]
        assert killed == signal.SIGKILL, number
        assert os.waitpid(forked(train_small, run, run.with_suffix(".npz")), 0)[1] == 0, number
    print(json.dumps({"moments": calls}))


if __name__ == "__main__":
    if sys.argv[2] == "moments":
        moments(sys.argv[1])
    else:
        main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
