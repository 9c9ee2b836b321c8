"""Files that are whole and on the disk, or not there, whatever happens."""

import errno
import hashlib
import os
from uuid import uuid4

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write(path, data):
    """Write bytes under a temporary name, to the disk itself, and rename the file.

    Returns:
        {"bytes": its length, "sha256": hex digest}.

    Raises:
        OSError: no room for it, or the directory cannot be written; nothing is left behind.
    """
    # Two machines may write the same part, one of them given up for dead.
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in _FULL:
            raise OSError(
                error.errno,
                f"{path.parent}: no room for {path.name}, {len(data):,} bytes "
                f"({os.strerror(error.errno)}). What is done is kept: make room and run it again.",
            ) from error
        raise
    _sync_directory(path.parent)
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def remove_temporary(directory):
    """Remove what a killed run was writing."""
    for path in directory.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def _sync_directory(directory):
    """A rename is safe from a power cut once the directory is on the disk."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
