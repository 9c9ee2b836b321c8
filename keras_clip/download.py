"""Sources that are not on this machine: Hub repositories and plain URLs."""

from keras_clip import hub_files
from keras_clip.url_files import DownloadError, cache_directory, fetch_url, file_name, url_size

__all__ = ["DownloadError", "cache_directory", "fetch", "is_remote", "plan"]


def is_remote(source):
    """Whether a source names something to be fetched, rather than a path or a preset."""
    return str(source).startswith(("hf://", "http://", "https://"))


def fetch(source, sha256=None, prefer="", progress=None):
    """Bring a source onto this machine, from the cache where it is there already.

    Args:
        source: `hf://org/repo[@revision]`, `hf://org/repo[@revision]/file`, or an http(s) URL.
        sha256: str or None. Hexadecimal digest that a single file must have.
        prefer: str. Of a repository's weights, those whose name begins so come first.
        progress: bool or None. None: a bar where standard error is a terminal.

    Returns:
        pathlib.Path: a directory for a repository, else a file.

    Raises:
        DownloadError: it cannot be had, or is not what it should be.
    """
    _check(source)
    if source.startswith("hf://"):
        return hub_files.fetch_hub(source, sha256, prefer)
    return fetch_url(source, sha256, progress)


def plan(source, prefer=""):
    """Tell what `fetch` would bring: a list of (name, bytes or None), without fetching it.

    Raises:
        DownloadError: the source cannot be reached.
    """
    _check(source)
    if source.startswith("hf://"):
        return hub_files.plan_hub(source, prefer)
    return [(file_name(source), url_size(source))]


def _check(source):
    if not is_remote(source):
        raise DownloadError(f"{source!r} is no hf:// source and no http(s) URL.")
