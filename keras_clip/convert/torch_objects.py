"""The few globals a PyTorch state dict may name, each mapped to an inert stand-in of our own."""

import dataclasses

import ml_dtypes
import numpy as np

from keras_clip.convert.errors import CheckpointError

DTYPES = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "int64": np.dtype(np.int64),
    "int32": np.dtype(np.int32),
    "int16": np.dtype(np.int16),
    "int8": np.dtype(np.int8),
    "uint64": np.dtype(np.uint64),
    "uint32": np.dtype(np.uint32),
    "uint16": np.dtype(np.uint16),
    "uint8": np.dtype(np.uint8),
    "bool": np.dtype(np.bool_),
    "complex64": np.dtype(np.complex64),
    "complex128": np.dtype(np.complex128),
}
STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}


@dataclasses.dataclass(frozen=True, slots=True)
class TypeName:
    """torch.float16 and the like; also the element type of a storage class."""

    name: str
    is_storage: bool = False


@dataclasses.dataclass(eq=False, slots=True)
class Storage:
    """A persistent id: where the bytes of one or more tensors are."""

    dtype: np.dtype
    key: str
    count: int
    start: int = 0


@dataclasses.dataclass(eq=False, slots=True)
class TensorRecord:
    """The arguments with which PyTorch would rebuild a tensor; checked once its name is known."""

    storage: Storage
    offset: object
    shape: object
    strides: object
    dtype: np.dtype


@dataclasses.dataclass(eq=False, slots=True)
class Module:
    """An object of a TorchScript archive: its attributes, none of its code."""

    state: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(eq=False, slots=True)
class Opaque:
    """A harmless object that holds no weights; what it was made from is kept, never used."""

    name: str
    args: tuple
    state: object = None


class Function:
    """A global that REDUCE may call: one of ours, whatever its name in the file."""

    __slots__ = ("call", "name")

    def __init__(self, name: str, call):
        self.name = name
        self.call = call


class ModuleClass:
    """A global `__torch__.*`: NEWOBJ makes an empty Module of it."""

    __slots__ = ()


def storage(identifier: object) -> Storage:
    """Reads a persistent id: ("storage", class, key, location, count[, view])."""
    if type(identifier) is not tuple or len(identifier) < 5 or identifier[0] != "storage":
        raise CheckpointError("a persistent id is not that of a storage; save a state dict instead")
    _, kind, key, _, count = identifier[:5]
    if not isinstance(kind, TypeName) or not kind.is_storage or type(key) is not str:
        raise CheckpointError("the class or the key of a storage is damaged")
    if type(count) is not int or count < 0:
        raise CheckpointError(f"the size of storage {key!r} is not a whole number >= 0")
    start = 0
    if len(identifier) > 5 and identifier[5] is not None:
        view = identifier[5]
        if type(view) is not tuple or len(view) != 3 or type(view[1]) is not int or view[1] < 0:
            raise CheckpointError(f"the view on storage {key!r} is damaged")
        start = view[1]
    return Storage(DTYPES[kind.name], key, count, start)


def _tensor(source, offset, shape, strides, *_) -> TensorRecord:
    if not isinstance(source, Storage):
        raise CheckpointError("a tensor is made from something that is not a storage")
    return TensorRecord(source, offset, shape, strides, source.dtype)


def _tensor_v3(source, offset, shape, strides, requires_grad, hooks, dtype, *_) -> TensorRecord:
    record = _tensor(source, offset, shape, strides)
    if not isinstance(dtype, TypeName):
        raise CheckpointError("the dtype of a tensor is damaged")
    record.dtype = DTYPES[dtype.name]
    return record


def _first(value, *_):
    return value


def _from_type(function, kind, args, *_):
    if not isinstance(function, Function) or type(args) is not tuple:
        raise CheckpointError("a tensor with attributes is damaged")
    return function.call(*args)


def _dictionary(*args) -> dict:
    # defaultdict(factory) and Counter({}) come with one argument; the values follow by SETITEMS.
    for value in args:
        if type(value) is dict:
            return value
    return {}


def _opaque(name: str) -> Function:
    return Function(name, lambda *args: Opaque(name, args))


_CALLS = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch.Size": _first,
    "torch.jit._pickle.build_intlist": _first,
    "torch.jit._pickle.build_doublelist": _first,
    "torch.jit._pickle.build_boollist": _first,
    "torch.jit._pickle.build_tensorlist": _first,
    "torch.jit._pickle.restore_type_tag": _first,
    "collections.OrderedDict": _dictionary,
    "collections.defaultdict": _dictionary,
    "collections.Counter": _dictionary,
}
# Seen in published training checkpoints beside the weights.
_OPAQUE = (
    "torch.device",
    "torch.Tensor",
    "torch.nn.parameter.Parameter",
    "torch.jit._pickle.build_tensor_from_id",
    "argparse.Namespace",
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "_codecs.encode",
    "builtins.set",
    "builtins.dict",
    "builtins.list",
    "__builtin__.set",
    "__builtin__.dict",
    "__builtin__.list",
)


def _allowed() -> dict[tuple[str, str], object]:
    table = {tuple(name.rsplit(".", 1)): Function(name, call) for name, call in _CALLS.items()}
    table |= {tuple(name.rsplit(".", 1)): _opaque(name) for name in _OPAQUE}
    table |= {("torch", name): TypeName(name) for name in DTYPES}
    table |= {("torch", name): TypeName(kind, True) for name, kind in STORAGES.items()}
    for module in ("torch", "torch.storage"):
        table[module, "UntypedStorage"] = TypeName("uint8", True)
    return table


_ALLOWED = _allowed()
_MODULE_CLASS = ModuleClass()


def find_global(module: str, name: str):
    """Our stand-in for the global `module.name`; any other name is refused, none is imported."""
    found = _ALLOWED.get((module, name))
    if found is None and (module == "__torch__" or module.startswith("__torch__.")):
        return _MODULE_CLASS
    if found is None:
        raise CheckpointError(
            f"it asks for the Python object {module + '.' + name!r}, which weights do not need. "
            "No code was run. If the file comes from a source you trust, load it with PyTorch "
            "and save its state_dict() as safetensors"
        )
    return found
