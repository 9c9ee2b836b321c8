"""Pickles that would run code, never end, or ask for too much: no code runs, one clear error."""

import os
import pickle
import zipfile

import numpy as np
import pytest
from guards import error_of, guarded, read_all, watched  # noqa: F401


def torch_zip(path, data, storage=b"\0" * 16, **members):
    """A torch.save archive with this pickle and one storage."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/data/0", storage)
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    return path


class Payload:
    """Pickles as a call of os.system."""

    def __reduce__(self):
        return os.system, ("touch PWNED",)


class Call:
    """Pickles as a call of the global `name`, written as a protocol 2 pickler does."""

    def __init__(self, name, *args):
        self.name, self.args = name, args

    def dump(self):
        module, name = self.name.rsplit(".", 1)
        body = pickle.dumps(self.args, protocol=2)[2:-1]
        return b"\x80\x02c" + f"{module}\n{name}\n".encode() + body + b"R."


def tensor(shape=(2, 2), strides=(2, 1), offset=0, count=4, key="0"):
    """Pickle of {"weight": tensor} with these, perhaps impossible, arguments."""

    def plain(value):
        return pickle.dumps(value, protocol=2)[2:-1]

    return b"".join(
        [
            b"\x80\x02}" + plain("weight") + b"ctorch._utils\n_rebuild_tensor_v2\n(",
            b"(" + plain("storage") + b"ctorch\nFloatStorage\n",
            plain(key) + plain("cpu") + plain(count) + b"tQ",
            plain(offset) + plain(shape) + plain(strides),
            b"\x89ccollections\nOrderedDict\n)RtRs.",
        ]
    )


HOSTILE_PICKLES = {
    "reduce": (pickle.dumps({"a": Payload()}, protocol=2), "system"),
    "stack_global": (pickle.dumps({"a": Payload()}, protocol=4), "system"),
    "text_protocol": (pickle.dumps({"a": Payload()}, protocol=0), "opcode"),
    "inst": (b"(ios\nsystem\n.", "system"),
    "obj": (b"\x80\x02(ccollections\nOrderedDict\no.", "opcode OBJ"),
    "newobj": (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "object"),
    "newobj_of_builtin": (b"\x80\x02cbuiltins\ndict\n)\x81.", "object"),
    "extension": (b"\x80\x02\x82\x01.", "opcode EXT1"),
    "text_persistent_id": (b"\x80\x02Psomething\n.", "opcode PERSID"),
    "eval": (Call("builtins.eval", "1").dump(), "builtins.eval"),
    "getattr": (Call("builtins.getattr", 1, "real").dump(), "builtins.getattr"),
    "torch_prefix": (Call("torch.serialization.os.system", "x").dump(), "os.system"),
    "torch_load": (Call("torch.load", "x").dump(), "torch.load"),
    "codecs": (Call("codecs.decode", b"x").dump(), "codecs.decode"),
    "call_of_a_string": (b"\x80\x02X\x02\0\0\0hi)R.", "calls"),
    "state_of_a_function": (b"\x80\x02ccollections\nOrderedDict\n}b.", "state"),
    "state_of_a_list": (b"\x80\x02]}b.", "state"),
    "persistent_id": (b"\x80\x02K\x01Q.", "persistent id"),
    "nothing": (b"", "ends early"),
    "empty_stack": (b"\x80\x02.", "empty stack"),
    "no_mark": (b"\x80\x02t.", "mark"),
    "no_weights": (pickle.dumps({"epoch": 1}, protocol=2), "epoch"),
    "a_list": (pickle.dumps([1], protocol=2), "no weights"),
    "protocol_200": (b"\x80\xc8.", "protocol 200"),
    "huge_bytes": (b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b".", "ends early"),
    "huge_text": (b"\x80\x04\x8d" + (2**40).to_bytes(8, "little") + b".", "ends early"),
    "huge_number": (b"\x80\x02\x8b" + (2**30).to_bytes(4, "little") + b".", "takes"),
    "huge_memo": (b"\x80\x02]r\xff\xff\xff\xff.", "no weights"),
    "unknown_memo": (b"\x80\x02h\x09.", "recalls"),
    "tuple_as_key": (b"\x80\x02})K\x01s.", "tuple as key"),
    "endless_line": (b"\x80\x02c" + b"a" * 5000, "does not end"),
}


@pytest.mark.parametrize("case", HOSTILE_PICKLES)
@pytest.mark.parametrize("container", ["zip", "bare"])
@pytest.mark.usefixtures("guarded")
def test_hostile_pickles(tmp_path, case, container):
    data, mention = HOSTILE_PICKLES[case]
    path = tmp_path / "hostile.pt"
    if container == "zip":
        message = error_of(torch_zip(path, data))
        assert mention in message
    else:
        path.write_bytes(data)
        error_of(path)


@pytest.mark.parametrize(
    ("arguments", "mention"),
    [
        ({"shape": (2**20, 2**20), "strides": (0, 0)}, "1048576"),
        ({"shape": (2**70,), "strides": (0,)}, "shape"),
        ({"shape": (0, 2**70), "strides": (1, 1)}, "shape"),
        ({"shape": (-2, -2)}, "shape"),
        ({"shape": (1,) * 64, "strides": (1,) * 64}, "64 axes"),
        ({"shape": (True, 2)}, "shape"),
        ({"shape": "22"}, "shape"),
        ({"strides": (-1, 1)}, "stride"),
        ({"strides": (2**40, 1)}, "stride"),
        ({"strides": (1,)}, "strides"),
        ({"offset": 1}, "offset"),
        ({"offset": -1}, "offset"),
        ({"offset": 2**64}, "offset"),
        ({"offset": None}, "offset"),
        ({"count": 1000}, "storage"),
        ({"count": -4}, "storage"),
        ({"key": "7"}, "data/7"),
        ({"key": "../../data/0"}, "../../data/0"),
    ],
)
@pytest.mark.usefixtures("guarded")
def test_hostile_tensors(tmp_path, arguments, mention):
    message = error_of(torch_zip(tmp_path / "hostile.pt", tensor(**arguments)))
    assert mention in message
    assert "weight" in message or "count" in arguments


@pytest.mark.usefixtures("guarded")
def test_the_same_tensor_without_malice(tmp_path):
    values = np.arange(4, dtype=np.float32)
    found = read_all(torch_zip(tmp_path / "fine.pt", tensor(), values.tobytes()))
    assert found["weight"].tolist() == [[0, 1], [2, 3]]


def test_big_endian_is_refused(tmp_path):
    assert "byte order" in error_of(torch_zip(tmp_path / "b.pt", tensor(), byteorder=b"big"))


# Each level holds the next one twice: walking it all would never end.
NEST = (
    b"}"
    + b"X\x01\0\0\0a".join([b""] * 1)
    + b"".join(
        b"q%c}X\x01\0\0\0ah%csX\x01\0\0\0bh%cs" % (level, level, level) for level in range(40)
    )
)
TUPLES = b")" + b"".join(b"q%ch%c\x86" % (level, level) for level in range(60))


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02" + NEST + b".",
        b"\x80\x02" + TUPLES + b".",
        b"\x80\x02}X\x01\0\0\0a" + TUPLES + b"s.",
        b"\x80\x02}" + TUPLES + b"K\x01s.",
        b"\x80\x02}q\0X\x05\0\0\0modelh\0s.",
        b"\x80\x02}q\0X\x01\0\0\0ah\0s.",
        b"\x80\x02" + b"(" * 3_000_000,
        b"\x80\x04" + b"\x8f" * 3_000_000,
        b"\x80\x02" + b"]q\0" * 1_000_000,
        b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    ],
    ids=["dicts", "tuples", "metadata", "hash", "model", "cycle", "marks", "sets", "memo", "deep"],
)
@pytest.mark.usefixtures("watched")
def test_pickles_without_end(tmp_path, data):
    error_of(torch_zip(tmp_path / "hostile.pt", data))
