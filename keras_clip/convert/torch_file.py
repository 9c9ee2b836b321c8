"""Reads torch.save archives (PyTorch 1.6 and later) and TorchScript archives without PyTorch."""

import json
import pathlib

from keras_clip.convert.blobs import SharedFile, ZipBlobs
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.pickle_stack import MAX_PICKLE_BYTES
from keras_clip.convert.tensors import Checkpoint
from keras_clip.convert.torch_objects import Module
from keras_clip.convert.torch_pickle import Interpreter
from keras_clip.convert.torch_state import lazy_tensors, weights
from keras_clip.convert.weight_sets import Choice

_PICKLE = "/data.pkl"
# What tensors do not tell of their model, in an archive that this package has written.
NOTE, NOTE_FILE = "keras_clip", "keras_clip.json"
_MAX_NOTE_BYTES = 2**16


def is_torch_archive(archive: ZipBlobs) -> bool:
    """Whether the archive has the one member that all PyTorch archives have."""
    return any(f"/{name}".endswith(_PICKLE) for name in archive.names())


def open_torch_archive(
    path: pathlib.Path, file: SharedFile, archive: ZipBlobs, choice: Choice
) -> Checkpoint:
    """Opens a torch.save or TorchScript archive; nothing but `data.pkl` is read yet.

    Raises:
        CheckpointError: The archive is damaged or hostile, or holds no weights.
    """
    pickled = [name for name in archive.names() if f"/{name}".endswith(_PICKLE)]
    if len(pickled) > 1:
        raise CheckpointError(f"the archive holds {len(pickled)} state dicts: {pickled[:3]}")
    folder = pickled[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.names():
        order = archive.read(f"{folder}byteorder", limit=16).strip()
        if order != b"little":
            raise CheckpointError(f"its byte order is {order!r}; only little-endian is read")
    root = Interpreter(archive.read(pickled[0], MAX_PICKLE_BYTES)).load()
    named, metadata = weights(root, choice)
    if f"{folder}{NOTE_FILE}" in archive.names():
        metadata[NOTE] = json.loads(archive.read(f"{folder}{NOTE_FILE}", _MAX_NOTE_BYTES))
    blobs = {}

    def open_storage(storage):
        if storage.key not in blobs:
            blobs[storage.key] = archive.open(f"{folder}data/{storage.key}")
        return blobs[storage.key]

    tensors = lazy_tensors(path, named, open_storage)
    format = "torchscript" if isinstance(root, Module) else "torch_zip"

    def close():
        archive.close()
        file.close()

    return Checkpoint(path, format, tensors, metadata, close)
