"""Zip archives keep a checksum of each member; what differs from it is never a weight."""

import zipfile

import pytest
from test_readers import CHECKPOINTS, assert_same, makers

from keras_clip.convert import CheckpointError, open_checkpoint


@pytest.mark.parametrize("file", ["every_dtype.pt", "every_dtype.npz"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_flipped_bit_is_found(file, compressed, tmp_path):
    wanted = makers.expected()["matrix"].tobytes()
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with (
        zipfile.ZipFile(CHECKPOINTS / file) as source,
        zipfile.ZipFile(tmp_path / file, "w", kind) as target,
    ):
        members = {name: source.read(name) for name in source.namelist()}
        for name, content in members.items():
            target.writestr(name, content)
    data = (tmp_path / file).read_bytes()
    with zipfile.ZipFile(tmp_path / file) as archive:
        changed = next(m for m in archive.infolist() if members[m.filename].endswith(wanted))
    at = changed.header_offset + 30 + len(changed.filename) + changed.compress_size - 9
    (tmp_path / file).write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with (
        pytest.raises(CheckpointError, match=r"checksum|CRC|Error -3"),
        open_checkpoint(tmp_path / file) as checkpoint,
    ):
        checkpoint["matrix"].read()


def test_torch_may_leave_checksums_out(tmp_path):
    torch = pytest.importorskip("torch")
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"matrix": torch.arange(12.0).reshape(3, 4)}, tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        assert {member.CRC for member in archive.infolist()} == {0}
    with open_checkpoint(tmp_path / "a.pt") as checkpoint:
        assert_same(checkpoint, {"matrix": makers.expected()["matrix"]})
