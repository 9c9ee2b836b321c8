"""Pictures in tar shards as webdataset and CLIP_benchmark lay them out."""

import os
import tarfile
from array import array
from pathlib import Path

import numpy as np

from keras_clip.data.captions import MemberCaptions
from keras_clip.data.labels import LabelsBuilder
from keras_clip.data.pictures import Pictures
from keras_clip.data.places import SUFFIXES, Members

_BLOCK = 512
_NONE = (0, -1)


def shard_pictures(paths):
    """Read the headers of tar shards: `KEY.jpg` (or another picture), `.cls`, `.txt`, `.json`.

    Args:
        paths: sorted list of str.

    Returns:
        Pictures; their keys are `shard.tar/KEY`. `classnames.txt` and
        `zeroshot_classification_templates.txt` beside the shards, or in the folder above, count.

    Raises:
        ValueError: a shard is cut short or no tar file, a key comes twice, or labels are missing.

    Reference: https://github.com/LAION-AI/CLIP_benchmark, `webdataset_converter`.
    """
    names = _names(paths)
    keys, labels = [], LabelsBuilder()
    columns = [array("q") for _ in range(6)]
    for number, path in enumerate(paths):
        with open(path, "rb") as file:
            for key, members in _samples(path).items():
                where = f"{path}, key {key!r}"
                is_json = "txt" not in members
                text = members.get("json" if is_json else "txt", _NONE)
                picture = _picture(where, members)
                for column, value in zip(columns, (number, *picture, *text, is_json), strict=True):
                    column.append(value)
                if "cls" in members:
                    offset, size = members["cls"]
                    file.seek(offset)
                    labels.add(file.read(size).decode("utf-8", "replace").strip())
                keys.append(f"{names[number]}/{key}")
                if len(labels) not in (0, len(keys)):
                    raise ValueError(f"{where}: some samples have a .cls and some have not.")
    if not keys:
        raise ValueError(f"{paths[0]}: no sample in the {len(paths)} tar shards.")
    shard, offset, size, text_offset, text_size, is_json = (np.array(c, "int64") for c in columns)
    captions = MemberCaptions(paths, shard, text_offset, text_size, is_json.astype(bool))
    numbers, class_names, templates = _classes(paths[0], labels)
    return Pictures(
        keys, Members(paths, shard, offset, size), numbers, class_names,
        captions if (text_size >= 0).any() else None, templates,
    )  # fmt: skip


def _samples(path):
    """{key: {extension: (offset, size)}} of one shard; the key ends at the name's first dot."""
    samples, end = {}, 0
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                end = member.offset_data + -(-member.size // _BLOCK) * _BLOCK
                folder, base = os.path.split(member.name)
                if not member.isreg() or base.startswith("."):
                    continue
                stem, _, extension = base.partition(".")
                found = samples.setdefault(os.path.join(folder, stem), {})
                if extension.lower() in found:
                    raise ValueError(f"{path}: the key {member.name!r} comes a second time.")
                found[extension.lower()] = member.offset_data, member.size
    except tarfile.TarError as error:
        raise ValueError(f"{path}: the tar file is cut short or damaged: {error}.") from error
    if os.path.getsize(path) < end + _BLOCK:
        raise ValueError(f"{path}: the tar file is cut short: its end mark is missing.")
    return samples


def _picture(where, members):
    found = [place for extension, place in members.items() if f".{extension}" in SUFFIXES]
    if len(found) > 1:
        raise ValueError(f"{where}: {len(found)} pictures in one sample; one is expected.")
    return found[0] if found else _NONE


def _names(paths):
    """What keys begin with: the file's name, or as much of its path as tells it from others."""
    if len(paths) == 1:
        return [os.path.basename(paths[0])]
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])
    return [os.path.relpath(path, folder).replace(os.sep, "/") for path in paths]


def _classes(shard, labels):
    """Numbers, class names and templates, from what lies beside the shards."""
    names = _lines(shard, "classnames.txt")
    templates = _lines(shard, "zeroshot_classification_templates.txt")
    templates = templates and [line.replace("{c}", "{}") for line in templates]
    if not len(labels):
        return None, None, templates
    numbers, found = labels.build()
    if names is None:
        return numbers, found, templates
    if found is not None or numbers.max() >= len(names):
        wrong = found[0] if found else int(numbers.max())
        raise ValueError(f"{shard}: the label {wrong!r} is no line of classnames.txt.")
    return numbers, names, templates


def _lines(shard, name):
    folder = Path(shard).absolute().parent
    for place in (folder / name, folder.parent / name):
        if place.is_file():
            return [line.strip() for line in place.read_text("utf-8").strip().splitlines()]
    return None
