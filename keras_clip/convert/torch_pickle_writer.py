"""Spells the pickle of a PyTorch state dict, opcode by opcode."""

import pickle

import numpy as np

from keras_clip.convert.torch_objects import DTYPES, STORAGES

_CLASSES = {DTYPES[dtype]: name for name, dtype in STORAGES.items()}


def storage_class(name: str, dtype: np.dtype) -> str:
    """PyTorch's storage class for the dtype of the tensor `name`, such as "HalfStorage"."""
    if dtype not in _CLASSES:
        raise ValueError(f"tensor {name!r}: a state dict has no {dtype}; convert it first")
    return _CLASSES[dtype]


def state_dict_pickle(specs: dict[str, tuple[np.dtype, tuple[int, ...]]]) -> bytes:
    """The pickle of a dict of row-major tensors; tensor number i has storage "i".

    Args:
        specs: dtype and shape by name, in the order of the storages.
    """
    parts = [pickle.PROTO, b"\x02", pickle.EMPTY_DICT, pickle.MARK]
    for number, (name, (dtype, shape)) in enumerate(specs.items()):
        count = int(np.prod(shape, dtype=np.int64))
        strides = [int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape))]
        parts += [
            _text(name),
            _global("torch._utils", "_rebuild_tensor_v2"),
            pickle.MARK,
            pickle.MARK,
            _text("storage"),
            _global("torch", storage_class(name, dtype)),
            _text(str(number)),
            _text("cpu"),
            _integer(count),
            pickle.TUPLE,
            pickle.BINPERSID,
            _integer(0),
            _tuple(shape),
            _tuple(strides),
            pickle.NEWFALSE,
            _global("collections", "OrderedDict"),
            pickle.EMPTY_TUPLE,
            pickle.REDUCE,
            pickle.TUPLE,
            pickle.REDUCE,
        ]
    return b"".join([*parts, pickle.SETITEMS, pickle.STOP])


def _text(value: str) -> bytes:
    data = value.encode()
    return pickle.BINUNICODE + len(data).to_bytes(4, "little") + data


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode("ascii")


def _integer(value: int) -> bytes:
    if value < 2**31:
        return pickle.BININT + value.to_bytes(4, "little")
    return pickle.LONG1 + b"\x09" + value.to_bytes(9, "little")


def _tuple(values) -> bytes:
    return pickle.MARK + b"".join(_integer(int(v)) for v in values) + pickle.TUPLE
