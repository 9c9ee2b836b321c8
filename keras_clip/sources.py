"""Where the files of a model are: on this machine, or brought here."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from keras_clip.catalogue import BUNDLED, unknown_preset, zoo, zoo_directory
from keras_clip.convert.dialects import DIALECTS, find_dialect
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.views import views
from keras_clip.download import fetch, is_remote
from keras_clip.hub_files import fetch_for_parts, pick_weights
from keras_clip.hub_partial import PartialWeights
from keras_clip.models.preset_description import is_native, read_description

# What tells that a directory is a model's own.
_DESCRIPTIONS = ("config.json", "open_clip_config.json")
# Layouts that tensors show alone, and those of which their names may be too, as a file beside says.
_BESIDE = {
    **{name: (name,) for name in DIALECTS},
    **{"openai": ("openai", "open_clip"), "dinov2": ("dinov2", "timm")},
}


@dataclass(frozen=True)
class Source:
    """The files of a model on this machine.

    Args:
        path: pathlib.Path of the file or directory.
        file: pathlib.Path of the weights.
        folder: pathlib.Path of the directory with the configuration, or None.
        entry: the table of the preset, or None where it was no preset's name.
        partial: PartialWeights where the file has holes, or None.
    """

    path: Path
    file: Path
    folder: Path | None
    entry: dict | None = None
    partial: PartialWeights | None = None

    @property
    def tokenizers(self):
        """Where the tokenizer may be, the likeliest place first."""
        beside = self.folder or next(iter(sorted(self.path.parent.glob("bpe_*.txt.gz"))), None)
        return [beside, *([self.entry.get("tokenizer")] if self.entry else [])]

    def owned(self, checkpoint):
        """The same without a folder that describes another model than the file's tensors show.

        Args:
            checkpoint: mapping of tensor names, of the file.

        Raises:
            CheckpointError: the description is damaged.
        """
        if self.folder is None or self.path.is_dir():
            return self
        for view in views(checkpoint):
            alone = _layout(view.whole)
            if alone is not None:
                described, _ = read_description(self.folder)
                found = None if is_native(described) else _layout(view.whole, described)
                return self if found in _BESIDE[alone] else replace(self, folder=None)
        return self


def find(source, parts=False):
    """Return the Source of whatever `from_preset` takes, fetched where it is remote.

    Args:
        source: str.
        parts: bool. Fetch no weights yet where single tensors can be had: the Source has `partial`.

    Raises:
        ValueError: there is no such preset; DownloadError: it cannot be fetched.
    """
    entry = zoo().get(source)
    address = entry["source"] if entry else source
    if parts and address.startswith("hf://"):
        found = fetch_for_parts(address, _prefer(entry))
        if found:
            folder, partial = found
            return Source(folder, partial.open_headers(folder), folder, entry, partial)
    path = _on_disk(source, entry)
    if not path.is_dir():
        folder = path.parent
        described = any((folder / name).is_file() for name in _DESCRIPTIONS)
        return Source(path, path, folder if described else None, entry)
    name = pick_weights({file.name for file in path.iterdir()}, _prefer(entry))
    return Source(path, path / name if name else path, path, entry)


def locate(place):
    """Return the local path of a path, `hf://` or URL, fetched where it is remote."""
    return fetch(str(place)) if is_remote(place) else Path(place)


def _layout(checkpoint, described=None):
    """The name of the layout of these tensors, or None."""
    try:
        return find_dialect(checkpoint, described)[0]
    except CheckpointError:
        return None


def _on_disk(source, entry):
    if entry:
        if entry["source"].startswith(BUNDLED):
            return zoo_directory() / entry["source"].removeprefix(BUNDLED)
        return fetch(entry["source"], entry.get("sha256"), _prefer(entry))
    looks_like_path = os.sep in source or Path(source).suffix
    if not (is_remote(source) or looks_like_path or Path(source).exists()):
        raise unknown_preset(source)
    return locate(source)


def _prefer(entry):
    """OpenAI's names are in the weights that OpenCLIP puts beside transformers' own."""
    return "open_clip" if entry and entry["table"] in ("openai", "open_clip") else ""
