"""Finds the state dict in what a PyTorch file holds: `{name: TensorRecord}` and plain metadata."""

import itertools

from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.folding import listed
from keras_clip.convert.tensors import Layout, LazyTensor
from keras_clip.convert.torch_objects import Module, Opaque, TensorRecord, TypeName
from keras_clip.convert.weight_sets import SETS, TRAINING, Choice

_MAX_DEPTH = 32
# A nest in which every level holds the next one twice has no end.
_MAX_VISITS = 500_000
_MAX_VALUES = 10_000
_MAX_NAME = 1024
_DROPPED = object()


def weights(root: object, choice: Choice) -> tuple[dict[str, TensorRecord], dict]:
    """Weights by name, out of the dictionaries they lie in, and the plain values beside them.

    Args:
        root: What the pickle holds.
        choice: Which of several dictionaries of weights is read.

    Raises:
        CheckpointError: There are no weights in it.
    """
    if isinstance(root, TensorRecord):
        raise CheckpointError("holds a single tensor without a name, not a state dict")
    metadata = _plain_items(_items(root))
    container, budget = root, [_MAX_VISITS]
    for _ in range(_MAX_DEPTH):
        # A module's attributes are names of one model, a dictionary's keys may be several models.
        full = {} if isinstance(container, Module) else _with_tensors(container, budget)
        key = choice.pick(list(full))
        if key is None:
            break
        beside = [name for name in full if name not in (*SETS, *TRAINING, key)]
        if beside:
            choice.notes.append(f"beside {key!r}, {listed(beside)} is left out")
        container = full[key]
    named = {}
    _flatten(container, "", named, [_MAX_VISITS])
    if not named:
        found = ", ".join(str(k)[:40] for k in list(_items(root))[:10]) or type(root).__name__
        raise CheckpointError(f"holds no weights (found: {found}); save model.state_dict()")
    return named, metadata


def lazy_tensors(path, named: dict[str, TensorRecord], open_storage) -> dict[str, LazyTensor]:
    """The records as tensors on disk, each checked against the bytes that are there.

    Args:
        path: The file, for messages.
        named: Records by name.
        open_storage: Gives the blob of a storage.
    """
    tensors = {}
    for name, record in named.items():
        source = record.storage
        try:
            blob = open_storage(source)
        except CheckpointError as error:
            raise CheckpointError(f"tensor {name!r}: storage {source.key!r}: {error}") from None
        needed = source.count * source.dtype.itemsize
        if blob.size < needed:
            raise CheckpointError(
                f"tensor {name!r}: storage {source.key!r} should have {source.count} values "
                f"({needed} bytes) but has {blob.size} bytes; download the file again"
            )
        shape, strides = _sizes(name, "shape", record.shape), _sizes(name, "stride", record.strides)
        if type(record.offset) is not int:
            raise CheckpointError(f"tensor {name!r}: the offset is not a whole number")
        offset = (record.offset + source.start) * record.dtype.itemsize
        layout = Layout(shape, record.dtype, offset, strides)
        tensors[name] = LazyTensor(path, name, layout, blob)
    return tensors


def _sizes(name: str, what: str, value: object) -> tuple:
    if type(value) not in (tuple, list):
        raise CheckpointError(f"tensor {name!r}: the {what} is not a list of numbers")
    return tuple(value)


def _items(value: object) -> dict:
    if isinstance(value, Module):
        return value.state
    return value if type(value) is dict else {}


def _with_tensors(container: object, budget: list[int]) -> dict[str, object]:
    """The dictionaries and modules in one that hold tensors, at most two levels deep, by name."""
    found = {}
    for key, value in _items(container).items():
        if type(key) is str and _items(value) and _has_tensors(value, budget):
            found[key] = value
    return found


def _has_tensors(value: object, budget: list[int]) -> bool:
    outer = _items(value).values()
    inner = itertools.chain.from_iterable(_items(item).values() for item in outer)
    for item in itertools.chain(outer, inner):
        budget[0] -= 1
        if isinstance(item, TensorRecord):
            return True
        if budget[0] < 0:
            break
    return False


def _flatten(container: object, prefix: str, named: dict, budget: list[int]) -> None:
    if prefix.count(".") > _MAX_DEPTH or len(prefix) > _MAX_NAME:
        raise CheckpointError("the state dict is nested without end; the file is hostile")
    for key, value in _items(container).items():
        budget[0] -= 1
        if budget[0] < 0:
            raise CheckpointError(f"holds more than {_MAX_VISITS} entries; the file is hostile")
        if isinstance(value, TensorRecord):
            name = f"{prefix}{key}"
            if named.setdefault(name, value) is not value:
                raise CheckpointError(f"the file names tensor {name!r} twice")
        elif isinstance(container, Module) or prefix or key not in TRAINING:
            _flatten(value, f"{prefix}{key}.", named, budget)


def _plain_items(items: dict) -> dict:
    budget = [_MAX_VALUES]
    # `training` and its like are on every TorchScript module and say nothing about the weights.
    kept = {k: v for k, v in items.items() if k != "training" and str(k)[:1] != "_"}
    known = {k for k, v in kept.items() if (k in SETS or k in TRAINING) and not _is_plain(v)}
    plain = {str(k): _plain(v, budget, 0) for k, v in kept.items() if k not in known}
    return {k: v for k, v in plain.items() if v is not _DROPPED}


def _is_plain(value: object) -> bool:
    return value is None or type(value) in (bool, int, float, str)


def _plain(value: object, budget: list[int], depth: int) -> object:
    budget[0] -= 1
    if budget[0] < 0 or depth > _MAX_DEPTH:
        return _DROPPED
    if _is_plain(value):
        return value
    if isinstance(value, TypeName):
        return value.name
    if isinstance(value, Opaque) and value.name == "torch.device":
        return ":".join(str(part) for part in value.args if type(part) in (str, int))
    if isinstance(value, Opaque) and value.name == "argparse.Namespace":
        value = value.state
    if type(value) in (list, tuple):
        inner = [_plain(v, budget, depth + 1) for v in value[: max(budget[0], 0)]]
        return type(value)(v for v in inner if v is not _DROPPED)
    if type(value) is dict:
        first = itertools.islice(value.items(), max(budget[0], 0))
        inner = {k: _plain(v, budget, depth + 1) for k, v in first}
        kept = {k: v for k, v in inner.items() if v is not _DROPPED}
        return kept if kept or not value else _DROPPED
    return _DROPPED
