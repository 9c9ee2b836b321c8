"""Write under a temporary name, then rename: nothing half-written is left behind."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path


def write_bytes(path, data):
    """Write bytes to a path in one step.

    Args:
        path: file to create or replace; its folder must exist.
        data: bytes.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def whole_file(path):
    """Yield the path of a file to write, which then becomes `path`; its suffix is the same.

    Args:
        path: file to create or replace; its folder must exist.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_directory(path):
    """Yield a folder to write files into, which move to `path` when all are there.

    Args:
        path: pathlib.Path, created; files of the same names in it are replaced, others stay.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield part
        path.mkdir(exist_ok=True)
        for file in part.iterdir():
            os.replace(file, path / file.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
