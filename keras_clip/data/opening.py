"""One call for every kind of source: a folder, a table, tar shards, or paths."""

import glob
import os
import re

from keras_clip.data.columns import checked_columns, no_columns
from keras_clip.data.folder import (
    file_captions,
    folder_files,
    folder_pictures,
    no_pictures,
    note_unused,
)
from keras_clip.data.left_out import LeftOut
from keras_clip.data.pictures import Pictures
from keras_clip.data.places import SUFFIXES, Files, check_once
from keras_clip.data.shards import SHARDS, shard_pictures
from keras_clip.data.table import TABLES, table_pictures

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def open_pictures(source, columns=None):
    """Find pictures, and give each a key; nothing is decoded.

    What a source holds beside them is named in the log `keras_clip` and in `left_out`.

    Args:
        source: one of
            a folder: its pictures by their suffixes, and those of the folders in it, sorted. Keys
                are paths relative to it; folders are classes where no picture lies outside of one;
                `NAME.txt` beside `NAME.jpg` holds its captions, a line each.
                A folder without pictures but with tar shards holds shards;
            a table, .csv, .tsv, .jsonl, .ndjson or .parquet, with a row a picture, by paths
                relative to the file; a parquet file may hold the pictures themselves;
            a tar shard, .tar, .tar.gz or .tgz;
            one picture, or a list of pictures and folders, whose paths are the keys;
            a list of tables or of shards; or a pattern: `shards/*.tar`, `t-{0000..0009}.parquet`;
            Pictures, which are returned.
        columns: {"image": name, "label": name, "caption": name or list of names}, any of them: the
            columns of a table, or of shards suffixes of members and fields of their `.json`; None:
            common names such as `path`, `class`, `text`, and `.cls`, `.txt`, `.json`'s `caption`.

    Returns:
        Pictures.

    Raises:
        FileNotFoundError: there is no such file, or no picture in the folder.
        ValueError: a column or value is missing, a key comes twice, a file is cut short or of none
            of these kinds, or columns are given for pictures in files.
        ImportError: a parquet file, and pyarrow is not installed.
    """
    columns, left_out = checked_columns(columns), LeftOut()
    if isinstance(source, Pictures):
        no_columns(columns, source)
        return source
    if isinstance(source, (list, tuple)):
        places = [os.fspath(place) for place in source]
        pictures = _listed(places, columns, left_out)
    else:
        pictures = _opened(os.fspath(source), columns, left_out)
    left_out.tell(source if isinstance(source, (str, os.PathLike)) else places[0])
    return pictures


def _opened(path, columns, left_out):
    """Pictures of one source."""
    if os.path.isdir(path):
        return _folder(path, columns, left_out)
    if not os.path.exists(path) and (glob.has_magic(path) or _BRACES.search(path)):
        return _listed(_matching(path), columns, left_out)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: there is no such picture, table or directory.")
    if _kind(path) == "picture" and os.path.splitext(path)[1].lower() not in SUFFIXES:
        _check_picture(path)
    return _listed([path], columns, left_out)


def _folder(path, columns, left_out):
    found = folder_files(path, left_out)
    if found.pictures:
        no_columns(columns, path)
        return folder_pictures(path, found, left_out)
    if not found.shards:
        raise no_pictures(path, found)
    note_unused(found, left_out, ("texts", "tables"))
    return shard_pictures([os.path.join(path, one) for one in found.shards], columns, left_out)


def _listed(places, columns, left_out):
    """Pictures of a list: shards, tables, or files as they are and folders by what is in them."""
    if not places:
        raise ValueError("The list of pictures is empty.")
    kinds = {_kind(place) for place in places}
    if len(kinds) > 1:
        raise ValueError(f"{' and '.join(sorted(kinds))}s in one list: give one kind.")
    if kinds != {"picture"}:
        open_kind = shard_pictures if kinds == {"tar shard"} else table_pictures
        return open_kind(_existing(places), columns, left_out)
    no_columns(columns, places[0])
    paths, texts = [], []
    for place in places:
        # A picture that is missing shows when it is decoded; the suffix spares a look for each.
        if os.path.splitext(place)[1].lower() not in SUFFIXES and os.path.isdir(place):
            found = folder_files(place, left_out, place)
            if not found.pictures:
                raise no_pictures(place, found)
            note_unused(found, left_out, ("shards", "tables"), place)
            paths += [os.path.join(place, name) for name in found.pictures]
            texts += [os.path.join(place, name) for name in found.texts]
        else:
            paths.append(place)
    check_once(paths, "picture")
    files = Files("", paths)
    return Pictures(paths, files, captions=file_captions(files, texts, left_out), left_out=left_out)


def _kind(path):
    """What a file is, by its name."""
    if path.lower().endswith(SHARDS):
        return "tar shard"
    return "table" if path.lower().endswith(TABLES) else "picture"


def _check_picture(path):
    """Raise a ValueError where a file of some other suffix is no picture."""
    from PIL import Image

    try:
        Image.open(path).close()
    except Exception as error:  # Pillow's plugins raise a dozen kinds for damaged files
        kinds = ", ".join((*TABLES, *SHARDS))
        raise ValueError(
            f"{path}: neither a picture nor one of {kinds}, by its name and its first bytes."
        ) from error


def _matching(pattern):
    """The files that a pattern with `*` and `{0000..0009}` names, those of each `*` sorted."""
    found = []
    for one in _expanded(pattern):
        if glob.has_magic(one) and not os.path.exists(one):
            matches = sorted(glob.glob(one))
            if not matches:
                raise FileNotFoundError(f"{one}: no file matches this pattern.")
            found += matches
        else:
            found.append(one)
    return _existing(found)


def _existing(paths):
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        raise FileNotFoundError(f"{missing[0]}: there is no such file ({len(missing)} missing).")
    return paths


def _expanded(pattern):
    """The patterns that one with `{a..b}` or `{a,b}` stands for."""
    braces = _BRACES.search(pattern)
    if not braces:
        return [pattern]
    inner = braces[1]
    if bounds := _RANGE.fullmatch(inner):
        first, last = bounds.groups()
        choices = [f"{k:0{len(first)}d}" for k in range(int(first), int(last) + 1)]
    else:
        choices = inner.split(",")
    before, after = pattern[: braces.start()], pattern[braces.end() :]
    return [one for choice in choices for one in _expanded(before + choice + after)]
