"""How the variables of a checkpoint are stored: safetensors, or Orbax where JAX shards them."""

import keras

from keras_clip.convert import open_checkpoint, write_safetensors
from keras_clip.convert.errors import CheckpointError

FILE, FOLDER = "state.safetensors", "state"


def is_sharded(variables):
    """Whether a device holds only a part of a variable, which happens on JAX alone."""
    if keras.backend.backend() != "jax":
        return False
    return any(not variable.value.is_fully_replicated for variable in variables.values())


class SafetensorsWriter:
    """One file of whole arrays; the copy to the host is made when it is created."""

    def __init__(self, variables, part):
        if keras.backend.backend() == "jax":
            for variable in variables.values():
                variable.value.copy_to_host_async()
        self.arrays = {
            name: keras.ops.convert_to_numpy(variable.value) for name, variable in variables.items()
        }
        self.part = part

    def finish(self):
        """Write the file."""
        write_safetensors(self.part / FILE, self.arrays)


class OrbaxWriter:
    """A folder into which every process writes its shards; created when they are on the host.

    Raises:
        OSError: it cannot be written, for whatever reason Orbax gives.
    """

    def __init__(self, variables, part):
        self.checkpointer = _orbax().StandardCheckpointer()
        arrays = {name: variable.value for name, variable in variables.items()}
        self._told(lambda: self.checkpointer.save((part / FOLDER).absolute(), arrays))

    def finish(self):
        """Wait until all shards of all processes are written."""
        try:
            self._told(self.checkpointer.wait_until_finished)
        finally:
            self.checkpointer.close()

    def _told(self, function):
        try:
            function()
        except Exception as error:  # tensorstore's errors have no type of their own
            raise OSError(f"Orbax: {str(error).strip().splitlines()[0]}") from error


def _orbax():
    try:
        import orbax.checkpoint
    except ImportError:
        raise ImportError(
            "checkpoints of sharded variables are written and read by Orbax: "
            'pip install "keras-clip[orbax]"'
        ) from None
    return orbax.checkpoint


def read_state(path, variables, saved):
    """Assign the values that are stored to variables, each in the sharding that it has here.

    Args:
        path: pathlib.Path of a checkpoint whose files were checked.
        variables: {name: variable}.
        saved: {name: [dtype, shape]} as stored.

    Raises:
        CheckpointError: it has neither of the two formats.
    """
    variables = {name: variable for name, variable in variables.items() if name in saved}
    if (path / FILE).exists():
        with open_checkpoint(path / FILE) as arrays:
            for name, variable in variables.items():
                variable.assign(arrays[name].read())
    elif (path / FOLDER).exists():
        targets = {name: _target(value, saved[name][0]) for name, value in variables.items()}
        with _orbax().StandardCheckpointer() as checkpointer:
            arrays = checkpointer.restore((path / FOLDER).absolute(), targets)
        for name, variable in variables.items():
            variable.assign(arrays[name])
    else:
        raise CheckpointError(f"{path}: holds neither {FILE} nor {FOLDER}/")


def _target(variable, dtype):
    import jax
    import numpy as np

    if keras.backend.backend() != "jax":
        return np.zeros(variable.shape, jax.numpy.dtype(dtype))
    return jax.ShapeDtypeStruct(variable.shape, dtype, sharding=variable.value.sharding)
