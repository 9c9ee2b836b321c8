"""A pickle interpreter that can build plain values and our own stand-ins, and nothing else."""

import pickle

from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.pickle_stack import PickleStack
from keras_clip.convert.torch_objects import (
    Function,
    Module,
    ModuleClass,
    Opaque,
    TensorRecord,
    find_global,
    storage,
)

# A ViT-bigG training checkpoint takes about 150,000 steps. A step makes at most an empty set of
# 216 bytes, so the limit on steps also bounds memory.
_MAX_STEPS = 1_000_000
_MAX_LONG_BYTES = 255
# Only these are hashed: a nest of tuples can take for ever.
_KEY_TYPES = (str, int, float, bool, bytes, type(None))
_NAMES = {
    getattr(pickle, name)[0]: name
    for name in pickle.__all__
    if name.isupper() and type(getattr(pickle, name)) is bytes
}


class Interpreter(PickleStack):
    """Reads one pickle from `data`; `position` is then the byte behind it.

    Args:
        data: Bytes or a memory map.
        position: Where the pickle begins.
    """

    def __init__(self, data, position: int = 0):
        super().__init__(data, position)
        self.storages = {}

    def load(self) -> object:
        """The pickled value.

        Raises:
            CheckpointError: The pickle is damaged, or wants more than weights need.
        """
        steps = 0
        while steps < _MAX_STEPS:
            start = self.position
            opcode = self._take(1)[0]
            if opcode == pickle.STOP[0]:
                return self._pop()
            action = _ACTIONS.get(opcode)
            if action is None:
                name = _NAMES.get(opcode, hex(opcode))
                raise CheckpointError(
                    f"the pickle opcode {name} at byte {start} has no place in a file of weights; "
                    "no code was run" + self._wanted(opcode)
                )
            action(self)
            steps += 1
        raise CheckpointError(f"the pickle takes more than {_MAX_STEPS} steps; it is hostile")

    def _wanted(self, opcode: int) -> str:
        if opcode != pickle.INST[0]:
            return ""
        return f" (it asks for {self._line() + '.' + self._line()!r})"

    def _proto(self) -> None:
        version = self._number("<B")
        if version > pickle.HIGHEST_PROTOCOL:
            raise CheckpointError(f"pickle protocol {version} does not exist; the file is damaged")

    def _text(self, layout: str, errors: str = "strict") -> None:
        data = self._take(self._number(layout))
        try:
            self._push(data.decode("utf-8", errors))
        except UnicodeDecodeError:
            raise CheckpointError(
                "a name in the pickle is not UTF-8; the file is damaged"
            ) from None

    def _old_string(self, layout: str) -> None:
        size = self._number(layout)
        if size < 0:
            raise CheckpointError("a string in the pickle has a negative length")
        self._push(self._take(size).decode("utf-8", "replace"))

    def _bytes(self, layout: str) -> None:
        self._push(bytes(self._take(self._number(layout))))

    def _long(self, layout: str) -> None:
        size = self._number(layout)
        if not 0 <= size <= _MAX_LONG_BYTES:
            raise CheckpointError(f"a number in the pickle takes {size} bytes; it is hostile")
        self._push(int.from_bytes(self._take(size), "little", signed=True))

    def _append(self) -> None:
        value = self._pop()
        self._top(list).append(value)

    def _extend(self) -> None:
        values = self._pop_mark()
        self._top(list).extend(values)

    def _set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._update([key, value])

    def _update(self, values: list) -> None:
        target = self._top(dict)
        if len(values) % 2:
            raise CheckpointError("a dict in the pickle has a key without a value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) not in _KEY_TYPES:
                raise CheckpointError(f"a dict in the pickle has a {type(key).__name__} as key")
            target[key] = value

    def _dict(self) -> None:
        values = self._pop_mark()
        self._push({})
        self._update(values)

    def _add_items(self) -> None:
        values = self._pop_mark()
        if any(type(value) not in _KEY_TYPES for value in values):
            raise CheckpointError("a set in the pickle holds more than plain values")
        self._top(set).update(values)

    def _global(self) -> None:
        module = self._line()
        self._push(find_global(module, self._line()))

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if type(name) is not str or type(module) is not str:
            raise CheckpointError("the pickle asks for a global whose name is not a string")
        self._push(find_global(module, name))

    def _reduce(self) -> None:
        args, function = self._pop(), self._pop()
        if not isinstance(function, Function) or type(args) is not tuple:
            raise CheckpointError("the pickle calls something that is not a function of weights")
        try:
            self._push(function.call(*args))
        except TypeError:
            raise CheckpointError(f"the arguments of {function.name} are damaged") from None

    def _new_object(self) -> None:
        self._pop()
        kind = self._pop()
        if isinstance(kind, ModuleClass):
            self._push(Module())
        elif isinstance(kind, Function) and kind.name == "argparse.Namespace":
            self._push(Opaque(kind.name, ()))
        else:
            raise CheckpointError("the pickle makes an object that weights do not need")

    def _build(self) -> None:
        state = self._pop()
        target = self._stack[-1] if self._stack else None
        if isinstance(target, Opaque) or (isinstance(target, Module) and type(state) is dict):
            target.state = state
        elif type(target) is not dict and not isinstance(target, TensorRecord):
            # A state dict's `_metadata` and a parameter's attributes are of no use here.
            raise CheckpointError("the pickle sets the state of an object that has none")

    def _persistent(self) -> None:
        found = storage(self._pop())
        known = self.storages.setdefault(found.key, found)
        # Tensors of two types may share a storage: its size is that of the larger claim.
        if found.count * found.dtype.itemsize > known.count * known.dtype.itemsize:
            self.storages[found.key] = found
        self._push(found)


def _constant(value):
    return lambda self: self._push(value)


_ACTIONS = {
    pickle.PROTO: Interpreter._proto,
    pickle.FRAME: lambda self: self._number("<Q"),
    pickle.MARK: Interpreter._mark,
    pickle.POP: lambda self: self._pop() if self._stack else self._pop_mark(),
    pickle.POP_MARK: Interpreter._pop_mark,
    pickle.NONE: _constant(None),
    pickle.NEWTRUE: _constant(True),
    pickle.NEWFALSE: _constant(False),
    pickle.BININT: lambda self: self._push(self._number("<i")),
    pickle.BININT1: lambda self: self._push(self._number("<B")),
    pickle.BININT2: lambda self: self._push(self._number("<H")),
    pickle.BINFLOAT: lambda self: self._push(self._number(">d")),
    pickle.LONG1: lambda self: self._long("<B"),
    pickle.LONG4: lambda self: self._long("<i"),
    pickle.SHORT_BINSTRING: lambda self: self._old_string("<B"),
    pickle.BINSTRING: lambda self: self._old_string("<i"),
    pickle.SHORT_BINUNICODE: lambda self: self._text("<B", "surrogatepass"),
    pickle.BINUNICODE: lambda self: self._text("<I", "surrogatepass"),
    pickle.BINUNICODE8: lambda self: self._text("<Q", "surrogatepass"),
    pickle.SHORT_BINBYTES: lambda self: self._bytes("<B"),
    pickle.BINBYTES: lambda self: self._bytes("<I"),
    pickle.BINBYTES8: lambda self: self._bytes("<Q"),
    pickle.EMPTY_TUPLE: _constant(()),
    pickle.TUPLE: lambda self: self._push(tuple(self._pop_mark())),
    pickle.TUPLE1: lambda self: self._tuple(1),
    pickle.TUPLE2: lambda self: self._tuple(2),
    pickle.TUPLE3: lambda self: self._tuple(3),
    pickle.EMPTY_LIST: lambda self: self._push([]),
    pickle.LIST: lambda self: self._push(self._pop_mark()),
    pickle.APPEND: Interpreter._append,
    pickle.APPENDS: Interpreter._extend,
    pickle.EMPTY_DICT: lambda self: self._push({}),
    pickle.DICT: Interpreter._dict,
    pickle.SETITEM: Interpreter._set_item,
    pickle.SETITEMS: lambda self: self._update(self._pop_mark()),
    pickle.EMPTY_SET: lambda self: self._push(set()),
    pickle.ADDITEMS: Interpreter._add_items,
    pickle.BINPUT: lambda self: self._memoize(self._number("<B")),
    pickle.LONG_BINPUT: lambda self: self._memoize(self._number("<I")),
    pickle.MEMOIZE: lambda self: self._memoize(len(self._memo)),
    pickle.BINGET: lambda self: self._recall("<B"),
    pickle.LONG_BINGET: lambda self: self._recall("<I"),
    pickle.GLOBAL: Interpreter._global,
    pickle.STACK_GLOBAL: Interpreter._stack_global,
    pickle.REDUCE: Interpreter._reduce,
    pickle.NEWOBJ: Interpreter._new_object,
    pickle.BUILD: Interpreter._build,
    pickle.BINPERSID: Interpreter._persistent,
}
_ACTIONS = {opcode[0]: action for opcode, action in _ACTIONS.items()}
