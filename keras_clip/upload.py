"""Presets to the Hugging Face Hub."""

import math
from pathlib import Path

from keras_clip.convert import CheckpointError, open_checkpoint
from keras_clip.filling import FAMILIES
from keras_clip.hub_files import HUB, needed_files
from keras_clip.model_card import model_card
from keras_clip.models.preset_description import check_native, is_native, read_json

CARD = "README.md"
# Beside what `from_preset` reads, these belong to a repository; all else stays where it is.
_MORE = (CARD, "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE")


class UploadError(RuntimeError):
    """Something could not be brought to the Hub; the message says what and what to do next."""


def upload_preset(
    address,
    directory,
    private=False,
    commit_message="Upload a keras-clip preset",
    license=None,
    dry_run=False,
):
    """Bring a preset directory to the Hub, in one commit; `from_preset(address)` loads it there.

    Nothing is written on this machine. A model card is made unless the directory or the
    repository has one.

    Args:
        address: `hf://user/name`; the repository is created where there is none.
        directory: path that `save_to_preset` has written. Of its files, the preset's own go up,
            README.md, LICENSE and NOTICE; files of an earlier preset are deleted in the commit.
        private: bool. A new repository is seen by its owner alone.
        commit_message: str.
        license: str or None. Goes into the card, by the Hub's name of it, such as `mit`.
        dry_run: bool. Only tell what would be done; no network is needed.

    Returns:
        Dictionary: `repository`, `files` with their bytes, `card` (its text), and `url` of the
        commit, or None.

    Raises:
        ValueError: the address is no such one; CheckpointError, one of its kind: the directory
            holds no sound preset.
        UploadError: there is no network, or the Hub refuses.
    """
    repository = _repository(address)
    directory = Path(directory)
    described, num_params = _checked(directory)
    names = [path.name for path in sorted(directory.iterdir()) if path.is_file()]
    names = [name for name in names if name in needed_files(names) or name in _MORE]
    contents = {name: directory / name for name in names}
    has_card = CARD in contents
    if not has_card:
        tokenizer = any(name.startswith(("tokenizer.", "vocab.")) for name in names)
        card = model_card(repository, described, num_params, tokenizer, license)
        contents[CARD] = card.encode()
    report = {"repository": repository, "card": _text(contents[CARD]), "url": None}
    if not dry_run:
        report["url"] = _send(repository, contents, has_card, private, commit_message)
    return {**report, "files": {name: _size(content) for name, content in contents.items()}}


def _repository(address):
    found = HUB.match(str(address))
    if not found or any(found[part] for part in ("first", "last", "file")):
        raise ValueError(
            f"{address!r} is no place for a preset: write hf://user/name, without a file or "
            "revision."
        )
    return found["repo"]


def _checked(directory):
    """(config.json, number of stored values) of a preset directory, once both are sound."""
    where = directory / "config.json"
    described = read_json(where)
    if not is_native(described):
        raise CheckpointError(
            f"{directory} is no preset of keras-clip: load what it is with "
            "keras_clip.from_preset, then model.save_to_preset(directory)."
        )
    check_native(described, FAMILIES, where)
    try:
        FAMILIES[described["family"]][0](described["config"])
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{where}: {error}") from error
    with open_checkpoint(directory) as checkpoint:
        return described, sum(math.prod(tensor.shape) for tensor in checkpoint.values())


def _text(content):
    data = content.read_bytes() if isinstance(content, Path) else content
    return data.decode("utf-8", "replace")


def _size(content):
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _send(repository, contents, has_card, private, message):
    """Create the repository, send one commit, return its URL."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi()
    _asked(repository, api.create_repo, repository, private=private, exist_ok=True)
    info = _asked(repository, api.model_info, repository)
    if private and not info.private:
        raise UploadError(
            f"{repository} is on the Hub already and everybody sees it: make it private in its "
            "settings, or choose another name."
        )
    there = [file.rfilename for file in info.siblings or ()]
    if CARD in there and not has_card:
        del contents[CARD]
    operations = [
        CommitOperationAdd(name, str(content) if isinstance(content, Path) else content)
        for name, content in contents.items()
    ]
    old = [name for name in needed_files(there) if name not in contents]
    operations += [CommitOperationDelete(name) for name in old]
    commit = _asked(repository, api.create_commit, repository, operations, commit_message=message)
    return str(commit.commit_url)


def _asked(repository, function, *args, **kwargs):
    """Call the Hub's library; whatever goes wrong there is one clear line here."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        raise UploadError(f"{repository} cannot be uploaded: {_reason(error)}.") from error


def _reason(error):
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return "the Hub does not know you: run `hf auth login` with a token that may write"
    if status == 403:
        return "your token may not write there: check the user's name, or get one that may"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set: unset it"
    first = next(iter(str(error).splitlines()), "").rstrip(".")
    advice = "check the network, call again" if status is None else "nothing was committed"
    return f"{type(error).__name__}: {first}; {advice}"
