"""What lies in a folder and the folders in it: pictures, or tar shards."""

import os

import numpy as np

from keras_clip.data.captions import FileCaptions, text_name
from keras_clip.data.pictures import Pictures
from keras_clip.data.places import SUFFIXES, Files

_KINDS = ", ".join(sorted(SUFFIXES))


def folder_files(folder):
    """The pictures, tar shards and text files in a folder: lists of paths relative to it, sorted.

    Every folder is entered once, by its own path rather than by a link, so that links that lead in
    circles end. Hidden files and folders are left out.
    """
    pictures, shards, texts, seen = [], [], [], set()
    pending = [""]  # a stack, with links at the bottom
    while pending:
        inside = pending.pop()
        path = os.path.join(folder, inside)
        status = os.stat(path)
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                if entry.name.startswith("."):
                    continue
                name = os.path.join(inside, entry.name)
                suffix = os.path.splitext(entry.name)[1].lower()
                if _is_folder(entry):
                    pending.insert(0 if entry.is_symlink() else len(pending), name)
                elif suffix in SUFFIXES:
                    pictures.append(name)
                elif suffix == ".tar":
                    shards.append(name)
                elif suffix == ".txt":
                    texts.append(name)
    return sorted(pictures), sorted(shards), sorted(texts)


def no_pictures(folder):
    """The error that a folder has none."""
    looked = f"looked for {_KINDS}, and for .tar shards, in it and the folders in it"
    return FileNotFoundError(f"{folder}: no picture in this directory; {looked}.")


def folder_pictures(folder, names, texts=()):
    """Pictures of a folder; each folder in it is a class where no picture lies outside of them.

    Args:
        folder: str.
        names: sorted list of their paths relative to it.
        texts: paths of text files; one named as a picture holds its captions.
    """
    _check_text(folder, names)
    keys = [name.replace(os.sep, "/") for name in names] if os.sep != "/" else names
    classes = sorted(
        entry.name for entry in os.scandir(folder)
        if _is_folder(entry) and not entry.name.startswith(".")
    )  # fmt: skip
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.fromiter(
        (numbers.get(key.partition("/")[0] if "/" in key else None, -1) for key in keys), "int64"
    )
    if (labels < 0).any():
        labels = classes = None
    files, texts = Files(folder, names), set(texts)
    known = np.fromiter((text_name(name) in texts for name in names), bool, len(names))
    captions = FileCaptions(files, known) if known.any() else None
    return Pictures(keys, files, labels, classes, captions)


def _is_folder(entry):
    # The entry's own is_dir() raises where a link leads to itself.
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def _check_text(folder, names):
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{folder}: the file name {os.fsencode(name)!r} is not UTF-8; rename it."
            ) from error
