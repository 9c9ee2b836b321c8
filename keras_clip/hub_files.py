"""Repositories of the Hugging Face Hub: which of their files a model needs, and how to get them."""

import fnmatch
import re
from pathlib import Path
from urllib.parse import unquote

from keras_clip.hub_partial import PartialWeights, place_of
from keras_clip.url_files import DownloadError, check_hash

# In order of preference; an index stands for its shards.
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.weights.h5",
    "model.weights.json",
)
BESIDE = (
    "config.json",
    "open_clip_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "bpe_*.txt.gz",
    "image_converter.json",
    "assets/tokenizer/*",
)
HUB = re.compile(
    r"hf://(?P<repo>[\w.-]+/[\w.-]+)(@(?P<first>refs/(pr|convert)/\w+|[^/@]+))?"
    r"(/(?P<file>[^@]+?))?(@(?P<last>[^@]+))?/?$"
)
COMMIT = re.compile("[0-9a-f]{40}")


def pick_weights(names, prefer=""):
    """The best of the known weight files among `names`, or None."""
    known = [name for name in WEIGHTS if name in names]
    return min(known, key=lambda name: not name.startswith(prefer), default=None)


def needed_files(names, prefer=""):
    """Those of a repository's files that a model needs: its weights once, and what is beside."""
    weights = pick_weights(names, prefer)
    return [*files_beside(names), *_shards(names, weights), *([weights] if weights else [])]


def files_beside(names):
    """Those of a repository's files that a model needs beside its weights."""
    return [name for name in names if any(fnmatch.fnmatch(name, one) for one in BESIDE)]


def _shards(names, weights):
    """The files that an index is of."""
    if weights == "model.weights.json":
        return fnmatch.filter(names, "model_*.weights.h5")
    if not weights or not weights.endswith(".index.json"):
        return []
    stem, kind = weights.removesuffix(".index.json").rsplit(".", 1)
    return fnmatch.filter(names, f"{stem}-*-of-*.{kind}")


def _parse(source):
    found = HUB.match(source)
    if not found or (found["first"] and found["last"]):
        raise DownloadError(
            f"{source!r} is no Hub source: write hf://org/repo, hf://org/repo@revision or "
            "hf://org/repo@revision/file."
        )
    revision = found["first"] or found["last"]
    return found["repo"], revision and unquote(revision), found["file"]


def fetch_hub(source, sha256=None, prefer=""):
    """Bring a repository, or one file of it, into the Hub's cache and return its path.

    Args:
        source: `hf://org/repo[@revision][/file]`.
        sha256: str or None. Hexadecimal digest that the file must have.
        prefer: str. Of the weights, those whose name begins so come first.

    Raises:
        DownloadError: it cannot be had.
    """
    import huggingface_hub as hub

    repo, revision, file = _parse(source)
    if file:
        path = Path(_asked(source, hub.hf_hub_download, repo, file, revision=revision))
        if not files_beside([file]):  # weights: what stands beside says what they are
            _asked(source, hub.snapshot_download, repo, revision=revision, allow_patterns=BESIDE)
        if sha256:
            check_hash(path, sha256, source)
        return path
    cached = _cached_snapshot(repo, revision, prefer)
    if cached and COMMIT.fullmatch(revision or ""):
        return cached  # a commit never changes
    try:
        names = list(_listing(source, repo, revision))
    except DownloadError:
        if cached:  # without a connection, what an earlier fetch has left is as good
            return cached
        raise
    wanted = needed_files(names, prefer)
    if not pick_weights(wanted):
        raise DownloadError(
            f"{source} holds no weights under a known name; it has {sorted(names)[:20]}. "
            f"Name one as hf://{repo}/FILE."
        )
    return Path(
        _asked(source, hub.snapshot_download, repo, revision=revision, allow_patterns=wanted)
    )


def fetch_for_parts(source, prefer=""):
    """Bring what stands beside the weights, where their tensors can be had apart.

    Returns:
        (folder, PartialWeights), or None where the weights are no safetensors, or here already.

    Raises:
        DownloadError: the source cannot be reached, and nothing was kept from an earlier call.
    """
    import huggingface_hub as hub

    repo, revision, file = _parse(source)
    if file or _cached_snapshot(repo, revision, prefer):
        return None
    kept = _kept_parts(repo, revision)
    if kept and COMMIT.fullmatch(revision or ""):
        return kept
    try:
        names = list(_listing(source, repo, revision))
    except DownloadError:
        if kept:
            return kept
        raise
    weights = pick_weights(names, prefer)
    if not weights or not weights.removesuffix(".index.json").endswith(".safetensors"):
        return None
    shards = _shards(names, weights)
    wanted = [*files_beside(names), *([weights] if shards else [])]
    folder = Path(
        _asked(source, hub.snapshot_download, repo, revision=revision, allow_patterns=wanted)
    )
    place = place_of(repo, folder.name)
    return folder, PartialWeights(repo, folder.name, tuple(shards or [weights]), place)


def _kept_parts(repo, revision):
    """What `fetch_for_parts` has returned before, or None."""
    from huggingface_hub import try_to_load_from_cache

    for name in ("config.json", "open_clip_config.json"):
        found = try_to_load_from_cache(repo, name, revision=revision)
        if isinstance(found, str):
            folder = Path(found).parent
            place = place_of(repo, folder.name)
            names = tuple(sorted(path.name for path in place.glob("*.safetensors")))
            return (folder, PartialWeights(repo, folder.name, names, place)) if names else None
    return None


def plan_hub(source, prefer=""):
    """List what `fetch_hub` would bring: (name, bytes or None)."""
    repo, revision, file = _parse(source)
    sizes = _listing(source, repo, revision)
    return [(n, sizes.get(n)) for n in ([file] if file else needed_files(sizes, prefer))]


def _asked(source, function, *args, **kwargs):
    """Call the Hub's library; whatever goes wrong there is one clear line here."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        raise _clear_error(source, error) from error


def _listing(source, repo, revision):
    """The files of a repository: {name: bytes or None}."""
    from huggingface_hub import HfApi

    info = _asked(source, HfApi().model_info, repo, revision=revision, files_metadata=True)
    return {file.rfilename: file.size for file in info.siblings}


def _cached_snapshot(repo, revision, prefer):
    """The folder that an earlier fetch has left, if the weights in it are whole."""
    from huggingface_hub import try_to_load_from_cache

    for name in ("config.json", *WEIGHTS):
        found = try_to_load_from_cache(repo, name, revision=revision)
        if isinstance(found, str):
            folder = Path(found).parent
            return folder if pick_weights(_whole(folder), prefer) else None
    return None


def _whole(folder):
    """The names in a cached snapshot, without an index of which a shard is missing."""
    names = {path.name for path in folder.iterdir()}
    for index in [name for name in names if name.endswith(".index.json")]:
        shards = set(re.findall(r"[\w.-]+-\d+-of-\d+\.\w+", (folder / index).read_text("utf-8")))
        if not shards <= names:
            names.discard(index)
    return names


def _clear_error(source, error):
    from huggingface_hub import errors

    reasons = (
        (errors.GatedRepoError, "its owner gives access on request: ask for it on the repository's "
         "page, then run `hf auth login`"),
        (errors.RevisionNotFoundError, "the repository has no such revision"),
        (errors.RepositoryNotFoundError, "there is no such repository, or it is private: check the "
         "name, or run `hf auth login`"),
        (errors.LocalEntryNotFoundError, "it is not in the cache and the Hub cannot be reached: "
         "connect to a network (or unset HF_HUB_OFFLINE), or give a directory on disk"),
        (errors.OfflineModeIsEnabled, "it is not in the cache and HF_HUB_OFFLINE is set: unset it, "
         "or give a directory on disk"),
        (errors.EntryNotFoundError, "the repository has no such file"),
    )  # fmt: skip
    for kind, reason in reasons:
        if isinstance(error, kind):
            return DownloadError(f"{source} cannot be fetched: {reason}.")
    first = next(iter(str(error).splitlines()), "")
    return DownloadError(
        f"{source} cannot be fetched: {type(error).__name__}: {first.rstrip('.')}. Check the "
        "network and call again; what has arrived is kept."
    )
