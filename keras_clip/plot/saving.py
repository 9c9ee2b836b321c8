"""A figure to a file, whole or not at all."""

from pathlib import Path

from keras_clip.preprocessing.atomic_file import whole_file

KINDS = (".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg")


def save(figure, path):
    """Write a figure; the suffix says as what.

    Args:
        figure: matplotlib Figure.
        path: file to create or replace; folders that lead there are made.

    Raises:
        ValueError: another suffix than .png, .jpg, .jpeg, .webp, .pdf or .svg.
    """
    path = check_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        figure.savefig(part)


def check_path(path):
    """The path of a plot, if its suffix says what to write.

    Raises:
        ValueError: it does not.
    """
    path = Path(path)
    if path.suffix.lower() not in KINDS:
        raise ValueError(
            f"{path}: a plot's name ends in one of {', '.join(KINDS)}, not in {path.suffix!r}."
        )
    return path
