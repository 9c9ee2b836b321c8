"""One call for every kind of source: a folder, a table, tar shards, or paths."""

import glob
import os
import re

from keras_clip.data.folder import folder_files, folder_pictures, no_pictures
from keras_clip.data.pictures import Pictures
from keras_clip.data.places import SUFFIXES, Files
from keras_clip.data.shards import shard_pictures
from keras_clip.data.table import TABLES, table_pictures

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def open_pictures(source, columns=None):
    """Find pictures, and give each a key; nothing is decoded.

    Args:
        source: one of
            a folder: its pictures by their suffixes, and those of the folders in it, sorted. Keys
                are paths relative to it; folders are classes where no picture lies outside of one;
                `NAME.txt` beside `NAME.jpg` holds its captions, a line each.
                A folder without pictures but with .tar files holds shards;
            a .csv, .tsv or .parquet file with a row a picture, by paths relative to the file;
            a .tar shard, or a pattern of them: `shards/*.tar`, `shards/{0000..0009}.tar`;
            one picture, or a list of pictures and folders, whose paths are the keys; or a list of
                shards.
        columns: {"image": name, "label": name, "caption": name} of a table, any of them; None:
            common names such as `path`, `class`, `text`.

    Returns:
        Pictures.

    Raises:
        FileNotFoundError: there is no such file, or no picture in the folder.
        ValueError: a column or value is missing, a key comes twice, or a file is cut short.
        ImportError: a parquet file, and pyarrow is not installed.
    """
    if isinstance(source, (list, tuple)):
        return _listed([os.fspath(place) for place in source])
    path = os.fspath(source)
    if os.path.isdir(path):
        pictures, shards, texts = folder_files(path)
        if pictures:
            return folder_pictures(path, pictures, texts)
        if shards:
            return shard_pictures([os.path.join(path, shard) for shard in shards])
        raise no_pictures(path)
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".tar":
        return shard_pictures(_matching(path))
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: there is no such picture, table or directory.")
    if suffix in TABLES:
        return table_pictures(path, columns)
    return _listed([path])


def _listed(places):
    """Pictures of a list: files as they are, folders by what is in them."""
    shards = [place.lower().endswith(".tar") for place in places]
    if places and all(shards):
        return shard_pictures(_existing(places))
    if any(shards):
        raise ValueError("Pictures and tar shards in one list: give one kind.")
    paths = []
    for place in places:
        # A picture that is missing shows when it is decoded; the suffix spares a look for each.
        if os.path.splitext(place)[1].lower() not in SUFFIXES and os.path.isdir(place):
            found, _, _ = folder_files(place)
            if not found:
                raise no_pictures(place)
            paths += [os.path.join(place, name) for name in found]
        else:
            paths.append(place)
    if not paths:
        raise ValueError("The list of pictures is empty.")
    if len(set(paths)) < len(paths):
        seen = set()
        twice = next(path for path in paths if path in seen or seen.add(path))
        raise ValueError(f"{twice}: the picture is in the list twice.")
    return Pictures(paths, Files("", paths))


def _matching(pattern):
    """The files that a pattern with `*` and `{0000..0009}` names, sorted."""
    found = []
    for one in _expanded(pattern):
        if glob.has_magic(one) and not os.path.exists(one):
            matches = glob.glob(one)
            if not matches:
                raise FileNotFoundError(f"{one}: no file matches this pattern.")
            found += matches
        else:
            found.append(one)
    return _existing(sorted(found))


def _existing(paths):
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        raise FileNotFoundError(f"{missing[0]}: there is no such shard ({len(missing)} missing).")
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
