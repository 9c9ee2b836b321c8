"""Reads files of torch.save from before PyTorch 1.6: pickles, then the storages one by one."""

import mmap
import pathlib

from keras_clip.convert.blobs import FileBlob, SharedFile
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.tensors import Checkpoint
from keras_clip.convert.torch_pickle import Interpreter
from keras_clip.convert.torch_state import lazy_tensors, weights
from keras_clip.convert.weight_sets import Choice

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001


def open_torch_legacy(path: pathlib.Path, file: SharedFile, choice: Choice) -> Checkpoint:
    """Opens a torch.save file from before 1.6; only its pickles are read yet.

    Raises:
        CheckpointError: The file is damaged or hostile, or holds no weights.
    """
    with open(path, "rb") as opened:
        data = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    with data:
        root, storages, keys, position = _pickles(data)
    named, metadata = weights(root, choice)
    blobs = _blobs(file, storages, keys, position)

    def open_storage(storage):
        if storage.key not in blobs:
            raise CheckpointError("is not in the file; it is incomplete")
        return blobs[storage.key]

    tensors = lazy_tensors(path, named, open_storage)
    return Checkpoint(path, "torch_legacy", tensors, metadata, file.close)


def _pickles(data: mmap.mmap) -> tuple[object, dict, list, int]:
    values, storages, position = [], {}, 0
    # Magic number, protocol version, byte order, the object itself, the keys of its storages.
    for part in range(5):
        interpreter = Interpreter(data, position)
        values.append(interpreter.load())
        storages |= interpreter.storages
        position = interpreter.position
        if part == 0 and values[0] != _MAGIC:
            raise CheckpointError(
                "is a plain Python pickle, not a file of torch.save; no code was run. "
                "Save the weights with torch.save(model.state_dict()) or as safetensors"
            )
    _, version, system, root, keys = values
    if version != _VERSION:
        raise CheckpointError(f"states version {version!r} of its format; {_VERSION} is known")
    if type(system) is dict and system.get("little_endian") is not True:
        raise CheckpointError("is not little-endian, as every known file is")
    if type(keys) is not list or any(type(key) is not str for key in keys):
        raise CheckpointError("the list of its storages is damaged; download it again")
    return root, storages, keys, position


def _blobs(file: SharedFile, storages: dict, keys: list[str], position: int) -> dict:
    blobs = {}
    for key in keys:
        if key not in storages or key in blobs:
            raise CheckpointError(f"lists storage {key!r} twice or without using it")
        storage = storages[key]
        count = int.from_bytes(file.read(position, 8), "little", signed=True)
        if count < 0:
            raise CheckpointError(f"storage {key!r} has a negative size; the file is damaged")
        size = count * storage.dtype.itemsize
        blobs[key] = FileBlob(file, position + 8, size)
        position += 8 + size
    return blobs
