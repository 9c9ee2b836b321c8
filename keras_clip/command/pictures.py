"""The pictures that a command line names: files, and what is in directories."""

from pathlib import Path

SUFFIXES = frozenset(
    ".avif .bmp .gif .jfif .jpeg .jpg .jpe .png .ppm .pgm .pbm .tif .tiff .webp".split()
)


def picture_paths(places):
    """Return the paths of the pictures: files as they are, directories by their sorted content.

    Args:
        places: paths of pictures, or of directories, whose pictures (by suffix) are taken; folders
            in them are not.

    Raises:
        FileNotFoundError: a path does not exist, or a directory has no picture.
    """
    found = []
    for place in map(Path, places):
        if not place.exists():
            raise FileNotFoundError(f"{place}: there is no such picture or directory.")
        if not place.is_dir():
            found.append(str(place))
            continue
        inside = sorted(path for path in place.iterdir() if path.suffix.lower() in SUFFIXES)
        if not inside:
            known = ", ".join(sorted(SUFFIXES))
            raise FileNotFoundError(f"{place}: no picture in this directory; known are {known}.")
        found += map(str, inside)
    return found
