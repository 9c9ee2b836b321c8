"""Opens any checkpoint on disk, its format found by content, never by name."""

import os
import pathlib

from keras_clip.convert.blobs import SharedFile, ZipBlobs
from keras_clip.convert.errors import DAMAGE, CheckpointError
from keras_clip.convert.hdf5_file import is_hdf5, open_hdf5
from keras_clip.convert.npz_file import is_npz, open_npz
from keras_clip.convert.safetensors_file import open_safetensors
from keras_clip.convert.shards import open_sharded
from keras_clip.convert.tensors import Checkpoint
from keras_clip.convert.torch_file import is_torch_archive, open_torch_archive
from keras_clip.convert.torch_legacy import open_torch_legacy
from keras_clip.convert.weight_sets import Choice
from keras_clip.convert.wrappers import unwrapped

# In this order: safetensors before pickles, whole files before shards.
_IN_DIRECTORY = (
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_pytorch_model.bin",
    "model.weights.h5",
    "model.weights.json",
)
_NOT_WEIGHTS = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the weights; run `git lfs pull`"),
    (b"<", "is a web page or XML, not weights; the download failed, try it again"),
    (b"\x93NUMPY", "is a single NumPy array; save all weights with numpy.savez"),
    (b"\x1f\x8b", "is compressed with gzip; unpack it first"),
    (b"Rar!", "is a RAR archive; unpack it first"),
)


def open_checkpoint(path: str | os.PathLike, weights: str | None = None) -> Checkpoint:
    """Opens a checkpoint: a Mapping of names to lazy tensors; no code from the file is run.

    Names are those of the model: what wrappers of it put before or into them is cut.

    Args:
        path: A TorchScript or torch.save file (also from before PyTorch 1.6), a safetensors, npz
            or Keras .weights.h5 file, an index of shards, or a directory as Hugging Face,
            open_clip or KerasHub lay it out.
        weights: Which of several sets of weights is read: its key, such as `state_dict`, or what
            its names begin with, such as `student`; None: an average before the last step's, as
            timm chooses, and the checkpoint's `notes` say so.

    Returns:
        The open checkpoint; close it, or use it in a `with` statement.

    Raises:
        CheckpointError: The path is missing, or its content damaged, hostile or not weights.
    """
    choice = Choice(weights)
    checkpoint = _open_file(_file(pathlib.Path(path)), choice)
    try:
        return unwrapped(checkpoint, choice)
    except BaseException:
        checkpoint.close()
        raise


def _file(path: pathlib.Path) -> pathlib.Path:
    """The file that holds the weights, or says where they are."""
    if not path.exists():
        raise CheckpointError(f"{path}: there is no such file or directory; check the path")
    if not path.is_dir():
        return path
    for name in _IN_DIRECTORY:
        if (path / name).exists():
            return path / name
    found = ", ".join(sorted(entry.name for entry in path.iterdir())[:10]) or "nothing"
    raise CheckpointError(
        f"{path}: the directory holds no weights: looked for {', '.join(_IN_DIRECTORY)}; "
        f"found {found}. Give the path of the file itself"
    )


def _open_file(path: pathlib.Path, choice: Choice) -> Checkpoint:
    file = None
    try:
        # A pipe would wait for ever.
        if not path.is_file():
            raise CheckpointError("is not a file; give the path of the weights")
        file = SharedFile(path)
        return _open_content(path, file, choice)
    except BaseException as error:
        if file is not None:
            file.close()
        if isinstance(error, CheckpointError):
            raise CheckpointError(f"{path}: {error}") from error.__cause__
        if isinstance(error, PermissionError):
            raise CheckpointError(f"{path}: may not be read; check its permissions") from error
        if isinstance(error, DAMAGE):
            reason = f"{type(error).__name__}: {str(error)[:200]}"
            raise CheckpointError(f"{path}: is damaged ({reason}); download it again") from error
        raise


def _open_content(path: pathlib.Path, file: SharedFile, choice: Choice) -> Checkpoint:
    head = file.read(0, min(file.size, 64))
    if not head:
        raise CheckpointError("is empty; download it again")
    if head.startswith(b"PK"):
        return _open_zip(path, file, choice)
    if head.startswith(b"\x80") and head[8:9] != b"{":
        return open_torch_legacy(path, file, choice)
    if head[8:9] == b"{":
        return open_safetensors(path, file)
    if is_hdf5(head):
        return open_hdf5(path, file)
    if head.lstrip().startswith(b"{"):
        # An index names tensors as the shards do; sets of weights lie in whole files.
        return open_sharded(path, file, lambda shard: _open_file(shard, Choice()))
    for start, advice in _NOT_WEIGHTS:
        if head.lstrip().startswith(start):
            raise CheckpointError(advice)
    if len(head) == 64 and b"ustar" in file.read(0, min(file.size, 512)):
        raise CheckpointError("is a tar archive; unpack it, or save it again with a newer PyTorch")
    raise CheckpointError(
        f"is in no known format (it begins with {head[:8]!r}); known are TorchScript, torch.save, "
        "safetensors, npz and Keras's HDF5"
    )


def _open_zip(path: pathlib.Path, file: SharedFile, choice: Choice) -> Checkpoint:
    archive = ZipBlobs(path, file)
    try:
        if is_torch_archive(archive):
            return open_torch_archive(path, file, archive, choice)
        if is_npz(archive):
            return open_npz(path, file, archive)
        names = ", ".join(archive.names()[:5])
        raise CheckpointError(f"is a zip archive, but neither of PyTorch nor of NumPy: {names}")
    except BaseException:
        archive.close()
        raise
