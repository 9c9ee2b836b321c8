"""Reads checkpoints that are spread over several files, as their index says."""

import json
import pathlib
from collections.abc import Callable

from keras_clip.convert.blobs import SharedFile
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.tensors import Checkpoint

_MAX_INDEX_BYTES = 16 * 2**20


def open_sharded(
    path: pathlib.Path, file: SharedFile, open_file: Callable[[pathlib.Path], Checkpoint]
) -> Checkpoint:
    """Opens the shards that a `*.index.json`, or Keras's `*.weights.json`, names, all beside it.

    Args:
        path: The index.
        file: The index, open; closed here.
        open_file: Opens one shard.

    Raises:
        CheckpointError: The index is damaged, leaves its directory, or does not fit the shards.
    """
    placed, metadata = _read_index(file)
    shards = {}

    def close():
        for shard in shards.values():
            shard.close()

    try:
        for name in sorted({shard for places in placed.values() for shard in places}):
            if not (path.parent / name).is_file():
                raise CheckpointError(f"the index names {name}, which is not beside it")
            shards[name] = open_file(path.parent / name)
        tensors = _gather(placed, shards)
    except BaseException:
        close()
        raise
    formats = {shard.format for shard in shards.values()}
    if len(formats) != 1:
        close()
        raise CheckpointError(f"the shards are of several formats: {', '.join(sorted(formats))}")
    return Checkpoint(path, formats.pop(), tensors, metadata, close)


def _read_index(file: SharedFile) -> tuple[dict[str, list[str]], dict]:
    """({name of a tensor, or of a group of tensors in Keras's index: its shards}, metadata)."""
    if file.size > _MAX_INDEX_BYTES:
        raise CheckpointError(f"the index has {file.size} bytes; that is no list of shards")
    try:
        index = json.loads(file.read(0, file.size))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"is not JSON ({error}); download it again") from None
    finally:
        file.close()
    placed = index.get("weight_map") if type(index) is dict else None
    if type(placed) is not dict or not placed:
        raise CheckpointError("is JSON but no index of shards: it has no weight_map")
    placed = {n: shards if type(shards) is list else [shards] for n, shards in placed.items()}
    for name, shard in ((name, shard) for name, shards in placed.items() for shard in shards):
        # Nothing outside the directory of the index is ever opened.
        if type(shard) is not str or shard in ("", ".", "..") or set(shard) & set("/\\:\0"):
            raise CheckpointError(
                f"the index places tensor {name!r} in {str(shard)[:200]!r}, "
                "which is not the name of a file beside it"
            )
    metadata = index.get("metadata")
    return placed, metadata if type(metadata) is dict else {}


def _gather(placed: dict[str, list[str]], shards: dict[str, Checkpoint]) -> dict:
    tensors, used = {}, set()
    for shard, opened in shards.items():
        for name in opened:
            # Keras places a layer's variables together: `/layers/dense/vars`.
            place = name if name in placed else "/" + name.rpartition("/")[0]
            if shard not in placed.get(place, ()) or name in tensors:
                raise CheckpointError(f"{shard} holds tensor {name!r}, which the index leaves out")
            tensors[name] = opened[name]
            used.add((place, shard))
    for name, places in placed.items():
        for shard in places:
            if (name, shard) not in used:
                raise CheckpointError(
                    f"the index places tensor {name!r} in {shard}, but it is not there"
                )
    return {name: tensors[name] for name in placed} if set(placed) == set(tensors) else tensors
