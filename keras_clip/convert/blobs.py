"""Ranges of bytes in a file, read only when asked for."""

import os
import pathlib
import threading
import zipfile
import zlib

from keras_clip.convert.errors import CheckpointError

# Weights hardly shrink; only a bomb grows this much beyond this size.
_MAX_EXPANSION = 100
_MAX_EXPANDED_BYTES = 256 * 2**20
_LOCAL_HEADER_BYTES = 30
# Some 300,000 members; each takes over ten times as much memory as on disk.
_MAX_DIRECTORY_BYTES = 16 * 2**20
_MAX_ZIP_END_BYTES = 2**16 + 128
# What may stand before the values in a member whose checksum is compared: NumPy's header.
_MAX_PREFIX_BYTES = 64 * 2**10


class SharedFile:
    """A file that several tensors read from, also from several threads."""

    def __init__(self, path: pathlib.Path):
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        self._lock = threading.Lock()
        self.size = os.fstat(self._file.fileno()).st_size

    def readinto(self, buffer, start: int) -> None:
        """Fills `buffer` with the bytes from `start` on."""
        view = memoryview(buffer).cast("B")
        with self._lock:
            if self._file.closed:
                raise CheckpointError("the checkpoint was closed; open it again to read from it")
            self._file.seek(start)
            done = 0
            # One call reads at most 2 GiB.
            while done < len(view):
                count = self._file.readinto(view[done:])
                if not count:
                    raise CheckpointError(
                        f"the file ends {len(view) - done} bytes early; download it again"
                    )
                done += count

    def read(self, start: int, size: int) -> bytes:
        """`size` bytes from `start` on."""
        if size < 0 or start < 0 or start + size > self.size:
            raise CheckpointError(
                f"bytes {start} to {start + size} are wanted but the file has {self.size}; "
                "it is cut or damaged: download it again"
            )
        buffer = bytearray(size)
        self.readinto(buffer, start)
        return bytes(buffer)

    def close(self) -> None:
        """Frees the file; later reads raise."""
        with self._lock:
            self._file.close()


class FileBlob:
    """`size` bytes of a file from `start` on, as they are.

    Args:
        file: Where they are.
        start: Place of the first.
        size: How many.
        checksum: CRC-32 of all of them, compared where they are read at once; 0: not known.
    """

    def __init__(self, file: SharedFile, start: int, size: int, checksum: int = 0):
        if start < 0 or size < 0 or start + size > file.size:
            raise CheckpointError(
                f"needs bytes {start} to {start + size} but the file has {file.size}; "
                "it is cut or damaged: download it again"
            )
        self.size = size
        self.start = start
        self._file = file
        self._checksum = checksum

    def readinto(self, buffer, offset: int) -> None:
        """Fills `buffer` from `offset` on; the caller keeps within `size`."""
        self._file.readinto(buffer, self.start + offset)
        whole = offset <= _MAX_PREFIX_BYTES and offset + memoryview(buffer).nbytes == self.size
        if self._checksum and whole:
            prefix = zlib.crc32(self._file.read(self.start, offset)) if offset else 0
            if zlib.crc32(buffer, prefix) != self._checksum:
                raise CheckpointError("its bytes differ from its checksum; download the file again")


class DeflatedBlob:
    """A compressed member of a zip archive, unpacked on each read."""

    def __init__(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo):
        self.size = member.file_size
        self._archive = archive
        self._member = member

    def readinto(self, buffer, offset: int) -> None:
        """Fills `buffer` from `offset` on; the caller keeps within `size`."""
        view = memoryview(buffer).cast("B")
        at_end = offset + len(view) == self.size
        if self._archive.fp is None:
            raise CheckpointError("the checkpoint was closed; open it again to read from it")
        with self._archive.open(self._member) as stream:
            while offset > 0:
                offset -= len(stream.read(min(offset, 2**20))) or self._cut()
            done = 0
            while done < len(view):
                done += stream.readinto(view[done : done + 2**24]) or self._cut()
            if at_end:
                stream.read(1)  # compares the member's checksum

    def _cut(self):
        raise CheckpointError(
            f"member {self._member.filename!r} of the archive ends early; download it again"
        )


class ZipBlobs:
    """The members of a zip archive as blobs; nothing is ever unpacked to disk."""

    def __init__(self, path: pathlib.Path, file: SharedFile):
        self._file = file
        _check_directory(file)
        try:
            self._archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise CheckpointError(
                f"the zip archive is cut or damaged ({error}); download it again"
            ) from error
        self._members = {}
        for member in self._archive.infolist():
            if self._members.setdefault(member.filename, member) is not member:
                self.close()
                raise CheckpointError(f"the archive holds two members named {member.filename!r}")

    def names(self) -> list[str]:
        """Member names in the order of the archive."""
        return list(self._members)

    def open(self, name: str) -> FileBlob | DeflatedBlob:
        """The member `name`, checked against the archive's bounds."""
        member = self._members.get(name)
        if member is None:
            raise CheckpointError(f"the archive has no member {name!r}; it is incomplete")
        if member.flag_bits & 0x1:
            raise CheckpointError(f"member {name!r} is encrypted, which no known writer does")
        if member.compress_type != zipfile.ZIP_STORED:
            return self._deflated(member)
        if member.file_size != member.compress_size:
            raise CheckpointError(f"member {name!r} states two different sizes")
        # The length of the extra field differs between the directory and the member itself.
        header = self._file.read(member.header_offset, _LOCAL_HEADER_BYTES)
        if header[:4] != b"PK\x03\x04":
            raise CheckpointError(f"member {name!r} is not where the archive says it is")
        skip = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        start = member.header_offset + _LOCAL_HEADER_BYTES + skip
        try:
            return FileBlob(self._file, start, member.file_size, member.CRC)
        except CheckpointError as error:
            raise CheckpointError(f"member {name!r} {error}") from None

    def _deflated(self, member: zipfile.ZipInfo) -> DeflatedBlob:
        if member.compress_type != zipfile.ZIP_DEFLATED:
            raise CheckpointError(f"member {member.filename!r} is not compressed with deflate")
        limit = max(_MAX_EXPANDED_BYTES, _MAX_EXPANSION * member.compress_size)
        if member.file_size > limit:
            raise CheckpointError(
                f"member {member.filename!r} would grow from {member.compress_size} to "
                f"{member.file_size} bytes, as no weights do; it is not read"
            )
        return DeflatedBlob(self._archive, member)

    def read(self, name: str, limit: int) -> bytes:
        """All bytes of the member `name`, at most `limit`."""
        blob = self.open(name)
        if blob.size > limit:
            raise CheckpointError(f"member {name!r} has {blob.size} bytes; {limit} is the limit")
        buffer = bytearray(blob.size)
        blob.readinto(buffer, 0)
        return bytes(buffer)

    def close(self) -> None:
        """Frees the archive; later reads raise."""
        self._archive.close()


def _check_directory(file: SharedFile) -> None:
    start = max(0, file.size - _MAX_ZIP_END_BYTES)
    tail = file.read(start, file.size - start)
    sizes = [0]
    # Offset and width of the directory's size in the end record and in its 64-bit variant.
    for mark, offset, width in ((b"PK\x05\x06", 12, 4), (b"PK\x06\x06", 40, 8)):
        begin = tail.rfind(mark)
        if begin >= 0:
            data = tail[begin + offset : begin + offset + width]
            # All ones says that the 64-bit record has the number.
            sizes.append(0 if data == b"\xff" * width else int.from_bytes(data, "little"))
    if max(sizes) > _MAX_DIRECTORY_BYTES:
        raise CheckpointError(
            f"the list of the archive's members takes {max(sizes)} bytes; it is damaged or hostile"
        )
