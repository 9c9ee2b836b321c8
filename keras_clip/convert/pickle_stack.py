"""The bytes, the stack and the memo of a pickle, each access checked."""

import struct

from keras_clip.convert.errors import CheckpointError

MAX_PICKLE_BYTES = 64 * 2**20
_MAX_LINE_BYTES = 1024


class PickleStack:
    """What a pickle's opcodes work on.

    Args:
        data: Bytes or a memory map.
        position: Where the pickle begins.
    """

    def __init__(self, data, position: int):
        self.position = position
        self._data = data
        self._end = min(len(data), position + MAX_PICKLE_BYTES)
        self._stack = []
        self._marked = []
        self._memo = {}

    def _take(self, size: int) -> bytes:
        end = self.position + size
        if end > self._end:
            raise CheckpointError("the pickle ends early; the file is cut, download it again")
        data = self._data[self.position : end]
        self.position = end
        return data

    def _number(self, layout: str):
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _line(self) -> str:
        end = self._data.find(b"\n", self.position, self.position + _MAX_LINE_BYTES)
        if end < 0:
            raise CheckpointError("a name in the pickle does not end; the file is damaged")
        line = self._data[self.position : end]
        self.position = end + 1
        return line.decode("utf-8", "replace")

    def _push(self, value) -> None:
        self._stack.append(value)

    def _pop(self):
        if not self._stack:
            raise CheckpointError("the pickle takes from an empty stack; the file is damaged")
        return self._stack.pop()

    def _top(self, kind: type):
        if not self._stack or type(self._stack[-1]) is not kind:
            raise CheckpointError(f"the pickle fills a {kind.__name__} that is not there")
        return self._stack[-1]

    def _pop_mark(self) -> list:
        if not self._marked:
            raise CheckpointError("the pickle misses a mark; the file is damaged")
        values, self._stack = self._stack, self._marked.pop()
        return values

    def _mark(self) -> None:
        self._marked.append(self._stack)
        self._stack = []

    def _tuple(self, size: int) -> None:
        if len(self._stack) < size:
            raise CheckpointError("the pickle takes from an empty stack; the file is damaged")
        values = tuple(self._stack[-size:])
        del self._stack[-size:]
        self._push(values)

    def _memoize(self, index: int) -> None:
        if not self._stack:
            raise CheckpointError("the pickle remembers nothing; the file is damaged")
        self._memo[index] = self._stack[-1]

    def _recall(self, layout: str) -> None:
        index = self._number(layout)
        if index not in self._memo:
            raise CheckpointError(f"the pickle recalls value {index}, which it never stored")
        self._push(self._memo[index])
