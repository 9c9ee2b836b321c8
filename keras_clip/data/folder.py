"""What lies in a folder and the folders in it: pictures, or tar shards."""

import os
from typing import NamedTuple

import numpy as np

from keras_clip.data.captions import FileCaptions, text_name
from keras_clip.data.labels import in_order
from keras_clip.data.pictures import Pictures
from keras_clip.data.places import SUFFIXES, Files
from keras_clip.data.shards import BESIDE, SHARDS
from keras_clip.data.table import TABLES

_KINDS = ", ".join(sorted(SUFFIXES))


class FolderFiles(NamedTuple):
    """What is in a folder, as sorted lists of paths relative to it."""

    pictures: list
    shards: list
    texts: list
    tables: list
    folders: list


def folder_files(folder, left_out, prefix=""):
    """Walk a folder and the folders in it: FolderFiles.

    Every folder is entered once, by its own path rather than by a link, so that links that lead in
    circles end. Hidden files and folders, and what is neither file nor folder, are left out.

    Args:
        folder: str.
        left_out: LeftOut, which notes them, and files of another kind.
        prefix: str, what the names there begin with.
    """
    found, seen = FolderFiles([], [], [], [], []), set()
    pending = [""]  # a stack, with links at the bottom
    while pending:
        inside = pending.pop()
        path = os.path.join(folder, inside)
        status = os.stat(path)
        if (status.st_dev, status.st_ino) in seen:
            left_out.add(os.path.join(prefix, inside), "a link to a folder that is read itself")
            continue
        seen.add((status.st_dev, status.st_ino))
        found.folders.append(inside)
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                name = os.path.join(inside, entry.name)
                if entry.name.startswith("."):
                    left_out.add(os.path.join(prefix, name), "hidden", is_odd=False)
                elif _is_folder(entry):
                    pending.insert(0 if entry.is_symlink() else len(pending), name)
                elif not _is_file(entry):
                    left_out.add(os.path.join(prefix, name), _no_file(entry))
                elif (kind := _kind(entry.name)) is None:
                    left_out.add(os.path.join(prefix, name), "no picture by its suffix")
                else:
                    getattr(found, kind).append(name)
    return FolderFiles(*map(sorted, found))


def no_pictures(folder, found):
    """The error that a folder has none."""
    looked = f"looked for {_KINDS}, and for {', '.join(SHARDS)} shards"
    tables = f" There are tables, such as {found.tables[0]}: give them." if found.tables else ""
    return FileNotFoundError(
        f"{folder}: no picture in this directory; {looked}, in it and the folders in it.{tables}"
    )


def folder_pictures(folder, found, left_out):
    """Pictures of a folder; each folder in it is a class where no picture lies outside of them.

    Args:
        folder: str.
        found: FolderFiles; a text file named as a picture holds its captions.
        left_out: LeftOut, which notes the files that are not used.
    """
    names = found.pictures
    _check_text(folder, names)
    keys = [name.replace(os.sep, "/") for name in names] if os.sep != "/" else names
    classes = in_order(name for name in found.folders if name and os.sep not in name)
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.fromiter(
        (numbers.get(key.partition("/")[0] if "/" in key else None, -1) for key in keys), "int64"
    )
    if (labels < 0).any():
        labels = classes = None
    files = Files(folder, names)
    captions = file_captions(files, found.texts, left_out)
    note_unused(found, left_out, ("shards", "tables"))
    return Pictures(keys, files, labels, classes, captions, left_out=left_out)


def file_captions(files, texts, left_out, prefix=""):
    """FileCaptions of pictures and text files beside them, or None; other texts are noted."""
    known, used = set(texts), [text_name(name) for name in files.names]
    has_text = np.fromiter((name in known for name in used), bool, len(used))
    for name in sorted(known.difference(used)):
        left_out.add(os.path.join(prefix, name), "a text of no picture")
    return FileCaptions(files, has_text) if has_text.any() else None


def note_unused(found, left_out, kinds, prefix=""):
    """Note what is in a folder beside what is read."""
    for kind in kinds:
        for name in getattr(found, kind):
            if os.path.basename(name) not in BESIDE:
                left_out.add(os.path.join(prefix, name), f"{kind} are sources of their own")


def _kind(name):
    """The field of FolderFiles for a file, or None."""
    name = name.lower()
    suffix = os.path.splitext(name)[1]
    if suffix in SUFFIXES:
        return "pictures"
    if name.endswith(SHARDS):
        return "shards"
    return "texts" if suffix == ".txt" else "tables" if suffix in TABLES else None


# The entry's own tests raise where a link leads to itself.
def _is_folder(entry):
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def _is_file(entry):
    return os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file()


def _no_file(entry):
    is_link = entry.is_symlink() and not os.path.exists(entry.path)
    return "a link that leads nowhere" if is_link else "no regular file"


def _check_text(folder, names):
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{folder}: the file name {os.fsencode(name)!r} is not UTF-8; rename it."
            ) from error
