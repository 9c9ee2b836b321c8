"""What is known of the presets, without loading Keras."""

import difflib
import functools
import json
import tomllib
from pathlib import Path

BUNDLED = "bundled:"
BUNDLED_PRESET = "clip_resnet_tiny_shapes"
PROTOCOLS = "protocols.toml"
# What an entry has from the one it is like; a source, a licence and results are its own.
_SHARED = ("family", "table", "tokenizer", "params")


def zoo_directory():
    """Where the preset tables are: in the installed package, else beside the checkout."""
    packaged = Path(__file__).parent / "zoo"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "zoo"


@functools.cache
def zoo():
    """Every preset's table by name, whole: what it has from others, and its results as metrics."""
    written = {}
    for path in sorted(zoo_directory().glob("*.toml")):
        if path.name != PROTOCOLS:
            written.update(tomllib.loads(path.read_text("utf-8")))
    protocols = tomllib.loads((zoo_directory() / PROTOCOLS).read_text("utf-8"))
    return {name: _whole(name, written, protocols) for name in written}


def _whole(name, written, protocols):
    """A preset's table with what it has from the one it is `like`."""
    entry = dict(written[name])
    results, metrics = entry.pop("results", {}), entry.pop("metrics", [])
    if "like" in entry:
        other = _whole(entry.pop("like"), written, protocols)
        shared = {key: other[key] for key in _SHARED if key in other}
        entry = {**shared, **entry, "config": _merged(other["config"], entry.get("config", {}))}
    found = [{**protocols[one], "value": value} for one, value in results.items()]
    return {**entry, "metrics": [*metrics, *found]}


def _merged(config, changes):
    return {
        **config,
        **{k: _merged(config[k], v) if isinstance(v, dict) else v for k, v in changes.items()},
    }


def list_presets(family=None):
    """Return the names of the presets, sorted.

    Args:
        family: `clip`, `siglip`, `vit`, `deit` or `dinov2`; None: all.

    Raises:
        ValueError: there is no such family.
    """
    families = sorted({entry["family"] for entry in zoo().values()})
    if family is not None and family not in families:
        raise ValueError(f"family is one of {families} or None, not {family!r}.")
    return sorted(n for n, entry in zoo().items() if family in (None, entry["family"]))


def preset_info(name):
    """Return what is known of a preset, as a dictionary.

    Its keys: name, family, source, table, license, params (number of weights), config, metrics
    (each with value, protocol and source), and tokenizer and sha256 where they are known.

    Raises:
        ValueError: there is no such preset; the message names similar ones.
    """
    if name not in zoo():
        raise unknown_preset(name)
    info = json.loads(json.dumps({"name": name, **zoo()[name]}))
    if info["source"].startswith(BUNDLED):
        folder = zoo_directory() / info["source"].removeprefix(BUNDLED)
        info["config"] = json.loads((folder / "config.json").read_text("utf-8"))["config"]
    return info


def unknown_preset(name):
    """The error for a name that no preset has; it names similar ones."""
    similar = difflib.get_close_matches(name, zoo(), n=3, cutoff=0.5)
    hint = f" Similar: {', '.join(similar)}." if similar else ""
    return ValueError(
        f"There is no preset {name!r}.{hint} Give a name from keras_clip.list_presets(), "
        "hf://org/repo[@revision], an http(s) URL, or the path of a file or directory."
    )
