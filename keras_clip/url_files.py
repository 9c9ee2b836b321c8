"""One file from a plain URL, whole or not at all: resumed, checked, renamed into the cache."""

import hashlib
import os
import shutil
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from keras_clip.cache import cache_directory
from keras_clip.version import __version__

ATTEMPTS = 5
WAIT_SECONDS = 1.0  # before the second attempt; doubled for each one after it
TIMEOUT_SECONDS = 30
BLOCK_BYTES = 2**20
PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}


class DownloadError(RuntimeError):
    """Something could not be fetched; the message says what and what to do next."""


class _CutError(Exception):
    """The connection broke; another attempt may go on from here."""


class _UnreachableError(_CutError):
    """There was no connection at all."""


class _StaleError(_CutError):
    """What has arrived is longer than the server's file."""


def fetch_url(url, sha256=None, progress=None):
    """Bring the file at a URL into the cache and return its path.

    Args:
        url: str, http or https.
        sha256: str or None. Hexadecimal digest that the file must have.
        progress: bool or None. None: a bar where standard error is a terminal.

    Raises:
        DownloadError: it cannot be had, or its digest is another one; no broken file is left.
    """
    # The digest is part of the place, so that an unchecked file never passes for a checked one.
    place = hashlib.sha256(f"{url} {sha256 or ''}".lower().encode()).hexdigest()[:16]
    target = cache_directory() / "urls" / place / file_name(url)
    if target.is_file():
        return target
    from filelock import FileLock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(".lock")):  # a second process waits and then finds the file
            if not target.is_file():
                partial = target.with_name(f".{target.name}.part")
                _download(url, partial, progress)
                if sha256:
                    check_hash(partial, sha256, url)
                os.replace(partial, target)
    except OSError as error:
        raise DownloadError(
            f"{url} cannot be written to {target.parent}: {error.strerror or error}. Make room or "
            "set KERAS_CLIP_CACHE to another folder; what has arrived is kept."
        ) from error
    return target


def url_size(url):
    """Bytes of the file at a URL as the server states them, or None.

    Raises:
        DownloadError: the server has no such file or does not answer.
    """
    try:
        with _open(url, {}, "HEAD") as reply:
            length = reply.headers.get("Content-Length")
    except _CutError as error:
        raise DownloadError(f"{url} cannot be reached: {error}.") from error
    return int(length) if length else None


def file_name(url):
    """The last part of a URL's path, as a safe file name."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name.replace("\\", "_").lstrip(".")
    return name or "download"


def check_hash(path, sha256, source):
    """Delete the file unless its SHA-256 digest is the expected one.

    Raises:
        DownloadError: the digest differs.
    """
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256.lower():
        path.resolve().unlink()
        path.unlink(missing_ok=True)  # a link to it, in the Hub's cache
        raise DownloadError(
            f"{source} has the SHA-256 {found}, expected was {sha256.lower()}: it was cut, changed "
            "or replaced, and has been deleted. Call again; if it stays so, do not use this source."
        )


def _download(url, partial, progress):
    """Fill `partial` with the whole file, going on after broken connections."""
    wait = WAIT_SECONDS
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _continue(url, partial, progress)
        except _CutError as error:
            if isinstance(error, _StaleError):
                partial.unlink(missing_ok=True)
            if isinstance(error, _UnreachableError) and attempt == 1:
                raise DownloadError(
                    f"{url} cannot be reached: {error}. Connect to a network, or download the file "
                    "elsewhere and give its path."
                ) from error
            if attempt == ATTEMPTS:
                arrived = partial.stat().st_size if partial.exists() else 0
                raise DownloadError(
                    f"{url} broke off {ATTEMPTS} times ({error}); {arrived} bytes have arrived and "
                    "are kept. Check the network and call again to go on from there."
                ) from error
        time.sleep(wait)
        wait *= 2


def _continue(url, partial, progress):
    """One attempt: ask for what is missing and append it."""
    mark = partial.with_name(partial.name + ".version")  # which version of the file it is a part of
    version = mark.read_text() if mark.exists() else ""
    have = partial.stat().st_size if partial.exists() and version else 0
    asked = {"Range": f"bytes={have}-", "If-Range": version} if have else {}
    with _open(url, asked) as reply:
        if reply.status != 206:
            have = 0
        version = _version(reply)
        total = _total(reply, have)
        check_room(url, partial.parent, None if total is None else total - have)
        if version:
            mark.write_text(version)
        bar = progress_bar(file_name(url), total, progress)
        with open(partial, "ab" if have else "wb") as file, bar as advance:
            advance(have)
            while block := _read(reply):
                file.write(block)
                have += len(block)
                advance(len(block))
    if total is not None and have != total:
        raise _CutError(f"{have} of {total} bytes")
    mark.unlink(missing_ok=True)


def _open(url, headers, method="GET"):
    headers = {"User-Agent": f"keras-clip/{__version__}", "Accept-Encoding": "identity", **headers}
    request = urllib.request.Request(url, headers=headers, method=method)
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # asked for what is behind the end
            raise _StaleError("the server's file has become shorter") from error
        if error.code in PASSING_STATUS:
            raise _CutError(f"the server answered {error.code} {error.reason}") from error
        raise DownloadError(
            f"{url} cannot be fetched: the server answered {error.code} {error.reason}. Check the "
            "address; if it is right, the file has moved."
        ) from error
    except urllib.error.URLError as error:
        raise _UnreachableError(error.reason) from error
    except (OSError, HTTPException) as error:
        raise _CutError(str(error) or type(error).__name__) from error


def _read(reply):
    try:
        return reply.read(BLOCK_BYTES)
    except (OSError, HTTPException) as error:
        raise _CutError(str(error) or type(error).__name__) from error


def _version(reply):
    """What tells one version of the file from another; a weak tag does not."""
    tag = reply.headers.get("ETag", "")
    return tag if tag.startswith('"') else reply.headers.get("Last-Modified", "")


def _total(reply, have):
    whole = reply.headers.get("Content-Range", "").rpartition("/")[2]
    if reply.status == 206 and whole.isdigit():
        return int(whole)
    length = reply.headers.get("Content-Length", "")
    return have + int(length) if length.isdigit() else None


def check_room(source, folder, needed):
    """Raise a DownloadError unless a folder has room for so many bytes; None: not known."""
    free = shutil.disk_usage(folder).free
    if needed is not None and needed > free:
        raise DownloadError(
            f"{source} needs {needed} bytes but {folder} has room for {free}: make room or set "
            "KERAS_CLIP_CACHE to another folder."
        )


@contextmanager
def progress_bar(name, total, progress):
    """A progress bar; gives the function to call with the number of bytes that have arrived.

    Args:
        name: of the file.
        total: bytes of it, or None.
        progress: bool or None. None: a bar where standard error is a terminal.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    shown = console.is_terminal if progress is None else progress
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    bar = Progress(*columns, TransferSpeedColumn(), console=console, disable=not shown)
    with bar:
        task = bar.add_task(f"Fetching {name}", total=total)
        yield lambda count: bar.advance(task, count)
