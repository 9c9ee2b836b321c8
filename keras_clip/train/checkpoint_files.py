"""The folder of a run's checkpoints: each appears whole, with the checksums of its files."""

import contextlib
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

from keras_clip.convert.errors import CheckpointError

FORMAT = 1
MANIFEST = "checkpoint.json"
_NAME = re.compile(r"step_(\d+)")


def found(directory):
    """Return [(step, path)] of the checkpoints in a folder, whole or not, newest first."""
    directory = Path(directory)
    if not directory.exists():
        return []
    if not directory.is_dir():
        raise CheckpointError(f"{directory}: is a file; give the folder of the checkpoints")
    matches = [(_NAME.fullmatch(path.name), path) for path in directory.iterdir()]
    return sorted(((int(match[1]), path) for match, path in matches if match), reverse=True)


def path_of(directory, step):
    """Where the checkpoint of a step lies."""
    return Path(directory) / f"step_{step:08d}"


def partial_path(directory, step):
    """Where the checkpoint of a step is written before it is whole."""
    path = path_of(directory, step)
    return path.with_name(f".{path.name}.partial")


def begin(directory, step):
    """Make the empty folder into which the files of a checkpoint are written, and return it."""
    part = partial_path(directory, step)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part


def publish(directory, step, manifest):
    """Turn what was written for a step into a checkpoint: on the disk first, then by its name.

    Args:
        directory: folder of the checkpoints.
        step: int.
        manifest: dict, to which the files' sizes and checksums are added.
    """
    part, path = partial_path(directory, step), path_of(directory, step)
    files = [file for file in sorted(part.rglob("*")) if file.is_file()]
    listed = {str(file.relative_to(part)): _sum_of(file) for file in files}
    text = json.dumps({"format": FORMAT, "step": step, **manifest, "files": listed}, indent=1)
    # The last line is the checksum of the others.
    (part / MANIFEST).write_text(f"{text}\n{hashlib.sha256(text.encode()).hexdigest()}\n")
    for file in [*part.rglob("*"), part]:
        _synchronise(file)
    if path.exists():  # a step that was trained again after an older checkpoint was restored
        remove(path)
    os.rename(part, path)
    _synchronise(path.parent)


def _sum_of(file):
    with open(file, "rb") as stream:
        return [file.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest()]


def _synchronise(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_manifest(path, check_files=True):
    """Return the description of a checkpoint after its files were checked.

    Args:
        path: folder of one checkpoint.
        check_files: bool. Whether the files' checksums are computed.

    Raises:
        CheckpointError: it is not whole; the message names the file.
    """
    path = Path(path)
    try:
        text, _, last = (path / MANIFEST).read_text().rstrip("\n").rpartition("\n")
        if hashlib.sha256(text.encode()).hexdigest() != last:
            raise CheckpointError(f"{path / MANIFEST}: its checksum is wrong")
        manifest = json.loads(text)
        for name, (size, digest) in manifest["files"].items() if check_files else ():
            if _sum_of(path / name) != [size, digest]:
                raise CheckpointError(f"{path / name}: its size or checksum is wrong")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: {error}") from None
    return manifest


def prune(directory, keep, keep_every=None):
    """Remove all checkpoints but the newest ones and those of every n-th step.

    Args:
        directory: folder of the checkpoints.
        keep: int. How many of the newest stay.
        keep_every: int or None. Steps that are multiples of it stay as well.
    """
    for step, path in found(directory)[keep:]:
        if not keep_every or step % keep_every:
            remove(path)


def remove(path):
    """Delete a checkpoint: it loses its name first, so that no half of one is ever found."""
    hidden = path.with_name(f".{path.name}.deleted")
    shutil.rmtree(hidden, ignore_errors=True)
    os.rename(path, hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def set_aside_after(directory, step):
    """Give other names to what lies at later steps, damaged, so that training may write them."""
    for later, path in found(directory):
        if later > step:
            aside = path.with_name(f"damaged_{path.name}")
            shutil.rmtree(aside, ignore_errors=True)
            with contextlib.suppress(OSError):  # a folder that may only be read
                os.rename(path, aside)


def clean(directory):
    """Remove what a killed run left half written or half deleted."""
    for path in Path(directory).glob(".step_*"):
        shutil.rmtree(path, ignore_errors=True)
