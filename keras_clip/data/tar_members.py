"""The members of a tar shard as samples, by one pass over its headers."""

import os
import tarfile
import zlib

from keras_clip.data.unpacked import is_packed, unpacked

_BLOCK = 512


def shard_samples(path, wanted, left_out):
    """Read the headers of a tar shard, packed by gzip or not.

    Args:
        path: str.
        wanted: suffixes of small members that are read, such as `cls`.
        left_out: LeftOut, for members that belong to no sample.

    Returns:
        {key: {suffix: (offset, size)}}, a key ending at the name's first dot; and {key: {suffix:
        bytes}} of what is wanted.

    Raises:
        ValueError: the file is cut short, no tar file, or a member comes twice.
    """
    samples, texts, end = {}, {}, 0
    try:
        size = unpacked(path).size if is_packed(path) else os.path.getsize(path)
        with tarfile.open(path, "r:gz" if is_packed(path) else "r:") as tar:
            for member in tar:
                end = member.offset_data + -(-member.size // _BLOCK) * _BLOCK
                if not _is_part(member, f"{path}/{member.name}", left_out):
                    continue
                folder, base = os.path.split(member.name)
                stem, _, suffix = base.partition(".")
                key, suffix = os.path.join(folder, stem), suffix.lower()
                found = samples.setdefault(key, {})
                if suffix in found:
                    raise ValueError(f"{path}: the key {member.name!r} comes a second time.")
                found[suffix] = member.offset_data, member.size
                if suffix in wanted:
                    texts.setdefault(key, {})[suffix] = tar.extractfile(member).read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ValueError(f"{path}: the tar file is cut short or damaged: {error}.") from error
    if size < end + _BLOCK:
        raise ValueError(f"{path}: the tar file is cut short: its end mark is missing.")
    return samples, texts


def _is_part(member, name, left_out):
    """Whether a member belongs to a sample; others are noted, folders apart."""
    base = os.path.basename(member.name)
    if member.isdir():
        return False
    if base.startswith("."):
        left_out.add(name, "hidden", is_odd=False)
    elif not member.isreg() or member.issparse():
        left_out.add(name, "no regular file")
    elif "." not in base:
        left_out.add(name, "no suffix")
    else:
        return True
    return False
