"""Checkpoints in and out: readers, writers and the tables between their names and ours."""

from keras_clip.convert.checkpoint import open_checkpoint
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.tensors import Checkpoint, LazyTensor
from keras_clip.convert.write import write_npz, write_safetensors, write_torch_zip

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "LazyTensor",
    "open_checkpoint",
    "write_npz",
    "write_safetensors",
    "write_torch_zip",
]
