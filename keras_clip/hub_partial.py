"""Parts of weights on the Hub: of a safetensors file, only the tensors that one tower needs."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from keras_clip.convert.tensors import LazyTensor
from keras_clip.preprocessing.atomic_file import write_bytes
from keras_clip.url_files import DownloadError, cache_directory, check_room, progress_bar

_BLOCK_BYTES = 32 * 2**20
# Tensors whose gap is below this come with one request.
_GAP_BYTES = 2**16
_MAX_HEADER_BYTES = 16 * 2**20


@dataclass(frozen=True)
class PartialWeights:
    """Weights of which this machine has some tensors, in files with holes where the others are.

    Args:
        repo: `org/name` on the Hub.
        commit: str. Its files never change.
        names: safetensors files, each whole or in holes.
        folder: pathlib.Path where they are kept, for this commit alone.
    """

    repo: str
    commit: str
    names: tuple
    folder: Path

    def open_headers(self, beside):
        """Bring what tells names, shapes and places of the tensors; return the path to open.

        Args:
            beside: pathlib.Path of the directory that has the index, where there are shards.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in self.names:
            file = _Holes(self, name)
            file.complete([(0, 8)], None)
            size = int.from_bytes(file.path.open("rb").read(8), "little")
            if size > _MAX_HEADER_BYTES:
                raise DownloadError(f"hf://{self.repo}/{name} is no safetensors file.")
            file.complete([(8, 8 + size)], None)
        index = next(beside.glob("*.safetensors.index.json"), None)
        if index is None:
            return self.folder / self.names[0]
        shutil.copyfile(index, self.folder / index.name)
        return self.folder / index.name

    def complete(self, tensors: list[LazyTensor], progress=None):
        """Bring the values of these tensors; what is here already is not asked for again.

        Raises:
            DownloadError: they cannot be had; what has arrived is kept.
        """
        spans = {}
        for tensor in tensors:
            path, start, stop = tensor.span
            spans.setdefault(path.name, []).append((start, stop))
        for name, wanted in spans.items():
            _Holes(self, name).complete(wanted, progress)


class _Holes:
    """One file of it: as long as the whole one, and a list of what has arrived beside it."""

    def __init__(self, weights, name):
        self.path = weights.folder / name
        self._address = f"{weights.repo}@{weights.commit}/{name}"
        self._record = weights.folder / f".{name}.arrived"

    def complete(self, wanted, progress):
        from filelock import FileLock

        with FileLock(self._record.with_suffix(".lock")):
            arrived = self._arrived()
            missing = without(merged(wanted, _GAP_BYTES), arrived)
            if missing:
                self._fetch(missing, arrived, progress)

    def _arrived(self):
        if not self.path.is_file() or not self._record.is_file():
            return []
        return [tuple(span) for span in json.loads(self._record.read_text())]

    def _fetch(self, missing, arrived, progress):
        total = sum(stop - start for start, stop in missing)
        check_room(f"hf://{self._address}", self.path.parent, total)
        try:
            from huggingface_hub import HfFileSystem

            with (
                HfFileSystem().open(self._address, "rb", cache_type="none") as remote,
                progress_bar(self.path.name, total, progress) as advance,
            ):
                for start, stop in _blocks(missing):
                    remote.seek(start)
                    data = remote.read(stop - start)
                    if len(data) != stop - start:
                        raise EOFError(f"{len(data)} of {stop - start} bytes")
                    self._keep(start, data, remote.size)
                    arrived = merged([*arrived, (start, stop)])
                    write_bytes(self._record, json.dumps(arrived).encode())
                    advance(len(data))
        except Exception as error:  # there is no telling what the Hub's library raises
            first = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise DownloadError(
                f"hf://{self._address} cannot be fetched: {first.rstrip('.')}. Check the network "
                "and call again; what has arrived is kept."
            ) from error

    def _keep(self, start, data, size):
        with open(self.path, "r+b" if self.path.exists() else "w+b") as file:
            file.truncate(size)  # holes take no room
            file.seek(start)
            file.write(data)


def place_of(repo, commit):
    """Return the folder of a repository's parts at one commit."""
    return cache_directory() / "parts" / repo.replace("/", "--") / commit


def merged(spans, gap=0):
    """Sort (start, stop) pairs and join those that touch, or lie closer than `gap`."""
    joined = []
    for start, stop in sorted(spans):
        if joined and start <= joined[-1][1] + gap:
            joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
        else:
            joined.append((start, stop))
    return joined


def without(wanted, there):
    """Return the parts of merged spans that are in none of others."""
    missing = []
    for start, stop in wanted:
        for begin, end in merged(there):
            if begin > start and begin < stop:
                missing.append((start, begin))
            if begin < stop and end > start:
                start = max(start, end)
        if start < stop:
            missing.append((start, stop))
    return missing


def _blocks(spans):
    for start, stop in spans:
        for begin in range(start, stop, _BLOCK_BYTES):
            yield begin, min(begin + _BLOCK_BYTES, stop)
