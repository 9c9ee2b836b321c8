"""Pictures in tar shards as webdataset and CLIP_benchmark lay them out."""

from array import array
from pathlib import Path

import numpy as np

from keras_clip.data.json_lines import json_object
from keras_clip.data.labels import LabelsBuilder, label_text, numbers_among
from keras_clip.data.left_out import LeftOut
from keras_clip.data.member_captions import MemberCaptions
from keras_clip.data.pictures import Pictures
from keras_clip.data.places import SUFFIXES, Members, distinct_names
from keras_clip.data.tar_members import shard_samples

SHARDS = (".tar", ".tar.gz", ".tgz")
BESIDE = ("classnames.txt", "zeroshot_classification_templates.txt")
_NONE = (0, -1)
_LABEL, _TEXT, _JSON, _FIELD = "cls", "txt", "json", "caption"


def shard_pictures(paths, columns=None, left_out=None):
    """Read the headers of tar shards: `KEY.jpg` (or another picture), `.cls`, `.txt`, `.json`.

    Args:
        paths: list of str.
        columns: as `checked_columns` gives them: suffixes of members, or fields of `.json` for
            labels and captions.
        left_out: LeftOut, for members that belong to no sample.

    Returns:
        Pictures; their keys are `shard.tar/KEY`. `classnames.txt` and
        `zeroshot_classification_templates.txt` beside the shards, or in the folder above, count.

    Raises:
        ValueError: a shard is cut short or no tar file, a key comes twice, labels are missing, or
            there is no such column.

    Reference: https://github.com/LAION-AI/CLIP_benchmark, `webdataset_converter`.
    """
    columns, left_out = columns or {}, LeftOut() if left_out is None else left_out
    parts = _Parts(columns)
    keys, labels, lacking = [], LabelsBuilder(), None
    table = [array("q") for _ in range(6)]
    for number, (path, name) in enumerate(zip(paths, distinct_names(paths), strict=True)):
        samples, texts = shard_samples(path, parts.read_at_once, left_out)
        for key, members in samples.items():
            where = f"{path}, key {key!r}"
            row = (number, *parts.picture(where, members), *parts.caption(where, members))
            for column, value in zip(table, row, strict=True):
                column.append(value)
            keys.append(f"{name}/{key}")
            if label := parts.label(where, texts.get(key, {})):
                labels.add(label)
            else:
                lacking = lacking or where
            if lacking and len(labels):
                raise ValueError(f"{lacking}: it has no {parts.told}, and other samples have one.")
    shard, offset, size, text_offset, text_size, is_json = (np.array(c, "int64") for c in table)
    captions = MemberCaptions(
        paths, shard, text_offset, text_size, is_json.astype(bool), parts.fields
    )
    _check(paths[0], columns, keys, size, labels, captions)
    has_captions = "caption" in columns or (text_size >= 0).any()
    numbers, class_names, templates = _classes(paths[0], labels)
    return Pictures(
        keys, Members(paths, shard, offset, size), numbers, class_names,
        captions if has_captions else None, templates, left_out,
    )  # fmt: skip


class _Parts:
    """Which member of a sample is its picture, its label, its caption."""

    def __init__(self, columns):
        self.columns = columns
        (self.name,) = columns.get("label", (_LABEL,))
        self.fields = columns.get("caption", (_FIELD,))
        self.text = self.fields[0] if "caption" in columns else _TEXT
        self.read_at_once = {self.name, _JSON} if "label" in columns else {_LABEL}
        self.told = f"label {self.name!r}" if "label" in columns else f".{_LABEL}"

    def picture(self, where, members):
        """(offset, size) of the picture."""
        if "image" in self.columns:
            return members.get(self.columns["image"][0].lower(), _NONE)
        found = [suffix for suffix in members if f".{suffix}" in SUFFIXES]
        if len(found) == 1:
            return members[found[0]]
        # A key ends at the first dot: `1.left.jpg` and `1.right.jpg` are one sample.
        found = found or [one for one in members if f".{one.rpartition('.')[2]}" in SUFFIXES]
        if not found:
            return _NONE
        raise ValueError(
            f"{where}: {len(found)} pictures in one sample, {found[:5]}; say which, "
            f'columns={{"image": "{found[0]}"}}.'
        )

    def caption(self, where, members):
        """(offset, size, whether it is JSON) of the caption."""
        if self.text in members:
            if len(self.fields) > 1:
                raise ValueError(f"{where}: several captions are fields of .json, not members.")
            return *members[self.text], False
        return *members.get(_JSON, _NONE), True

    def label(self, where, texts):
        """The label, or an empty str."""
        try:
            if self.name in texts:
                label = texts[self.name].decode("utf-8-sig").strip()
                if not label:
                    raise ValueError("it is empty")
                return label
            return label_text(json_object(texts[_JSON]).get(self.name)) if _JSON in texts else ""
        except ValueError as error:
            raise ValueError(f"{where}: its {self.told} cannot be read: {error}.") from error


def _check(shard, columns, keys, size, labels, captions):
    """Raise a ValueError for shards without a sample, or without what columns name."""
    if not keys:
        raise ValueError(f"{shard}: no sample in the tar shards.")
    if "image" in columns and not (size >= 0).any():
        raise ValueError(f"{shard}: no sample has a member .{columns['image'][0]}.")
    if "label" in columns and not len(labels):
        name = columns["label"][0]
        raise ValueError(f"{shard}: no sample has a member .{name}, or {name!r} in its .json.")
    if "caption" in columns:
        captions.check_fields()


def _classes(shard, labels):
    """Numbers, class names and templates, from what lies beside the shards."""
    names, templates = (_beside(shard, name) for name in BESIDE)
    templates = templates and [line.replace("{c}", "{}") for line in templates]
    if not len(labels):
        return None, None, templates
    numbers, found = labels.build()
    if names is None:
        return numbers, found, templates
    try:
        return numbers_among(numbers, found, names, "lines of classnames.txt"), names, templates
    except ValueError as error:
        raise ValueError(f"{shard}: {error}") from error


def _beside(shard, name):
    folder = Path(shard).absolute().parent
    for place in (folder / name, folder.parent / name):
        if place.is_file():
            return [line.strip() for line in place.read_text("utf-8").strip().splitlines()]
    return None
