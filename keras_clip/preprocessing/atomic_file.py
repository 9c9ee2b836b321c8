"""Write a file under a temporary name, then rename it: nothing half-written is left behind."""

import os
from pathlib import Path


def write_bytes(path, data):
    """Write bytes to a path in one step.

    Args:
        path: file to create or replace; its folder must exist.
        data: bytes.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
