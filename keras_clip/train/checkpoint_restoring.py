"""Exact resumption: a model becomes what it was when its newest whole checkpoint was written."""

import sys

from keras_clip.convert.errors import CheckpointError
from keras_clip.train import checkpoint_files as files
from keras_clip.train.checkpoint_formats import read_state
from keras_clip.train.checkpoint_generators import remember_restored
from keras_clip.train.checkpoint_processes import from_first, is_first
from keras_clip.train.checkpoint_state import describe, differences, set_step, variables_of

_NONE, _DAMAGED = -1, -2


def restore(model, directory):
    """Bring a compiled model to the newest whole checkpoint of a folder; return its step.

    Weights, optimizer, averages, loss scale and random states become those of the checkpoint, and
    with them the place in the learning rate's schedule. `fit` on `pairs.batches(start=step)`, with
    `Checkpoints` among its callbacks, then goes on as if it had not been interrupted, to the last
    bit where the backend's own operations are so on the same machine. Metrics start anew. A damaged
    checkpoint is named on stderr, the one before is taken, and the damaged one gets another name
    (`damaged_step_...`).

    Args:
        model: a compiled model of the same configuration, with an optimizer of the same class.
        directory: folder that `Checkpoints` wrote; it may be absent.

    Returns:
        int: how many batches the model was trained on; 0 where there is no checkpoint.

    Raises:
        CheckpointError: it is a checkpoint of another model, and nothing was loaded; or there are
            checkpoints, but none is whole.
        ValueError: the model is not compiled.
    """
    variables = variables_of(model)
    step = from_first(_newest_whole(directory) if is_first() else _NONE)
    if step == _NONE:
        return 0
    if step == _DAMAGED:
        raise CheckpointError(f"{directory}: none of its checkpoints is whole")
    path = files.path_of(directory, step)
    manifest = files.read_manifest(path, check_files=False)
    if manifest["format"] != files.FORMAT:
        raise CheckpointError(
            f"{path}: has format {manifest['format']}, this keras-clip reads {files.FORMAT}; "
            "nothing was loaded: use the keras-clip that wrote it"
        )
    lines = differences(manifest, describe(model))
    if lines:
        listed = "".join(f"\n  {line}" for line in lines)
        raise CheckpointError(
            f"{path}: is a checkpoint of another model; nothing was loaded:{listed}\n"
            "Give the folder of this model's run, or an empty one"
        )
    read_state(path, variables, manifest["variables"])
    set_step(model, step)
    remember_restored(model.optimizer, step)
    if is_first():
        files.set_aside_after(directory, step)
    return step


def latest(directory):
    """Return what `checkpoint.json` says of the newest whole checkpoint, as a dict, or None.

    Args:
        directory: folder that `Checkpoints` wrote; it may be absent.
    """
    for _, path in files.found(directory):
        try:
            return files.read_manifest(path)
        except CheckpointError:
            continue
    return None


def _newest_whole(directory):
    checkpoints = files.found(directory)
    for step, path in checkpoints:
        try:
            files.read_manifest(path)
        except CheckpointError as error:
            print(f"a damaged checkpoint is not used: {error}", file=sys.stderr, flush=True)
        else:
            return step
    return _DAMAGED if checkpoints else _NONE
