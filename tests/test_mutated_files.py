"""Whatever is done to the bytes of a checkpoint, only a CheckpointError comes out."""

import datetime
import pathlib

from guards import BYTES, SECONDS, peak_resident_bytes, read_all
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_readers import CHECKPOINTS

from keras_clip.convert import CheckpointError

SMALL = sorted(p for p in pathlib.Path(CHECKPOINTS).iterdir() if p.is_file())
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["set", "flip", "delete", "insert", "copy", "ones", "cut"]),
        st.integers(0, 2**16),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=6,
)


def mutated(data, edits):
    """The bytes after a list of (kind, position, value) edits."""
    data = bytearray(data)
    for kind, position, value in edits:
        at = position % len(data)
        if kind == "set":
            data[at] = value
        elif kind == "flip":
            data[at] ^= 1 << value % 8
        elif kind == "delete":
            del data[at : at + value % 16]
        elif kind == "insert":
            data[at:at] = bytes([value])
        elif kind == "copy":
            data[at : at + 32] = data[value : value + 32]
        elif kind == "ones":
            data[at : at + 4] = b"\xff" * 4
        elif value < 16:
            del data[at:]
        data = data or bytearray(b"\x80")
    return data


@settings(
    max_examples=2000,
    derandomize=True,
    database=None,
    deadline=datetime.timedelta(seconds=SECONDS),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(file=st.sampled_from(SMALL), edits=EDITS)
def test_mutated_files(tmp_path, file, edits):
    path = tmp_path / "mutated"
    path.write_bytes(mutated(file.read_bytes(), edits))
    resident = peak_resident_bytes()
    try:
        read_all(path)
    except CheckpointError as error:
        assert str(path) in str(error)
    assert peak_resident_bytes() - resident < BYTES
