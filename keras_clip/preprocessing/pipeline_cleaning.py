"""Text cleaning before the pipeline of a tokenizer.json: the ways that libraries have of it."""

import json
import string

from keras_clip.preprocessing.text_cleaning import is_plain, repair_text

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_LOWER = {"type": "Lowercase"}
_SINGLE_SPACES = [
    {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
    {"type": "Strip", "strip_left": True, "strip_right": True},
]
_STRIPPED = [
    _LOWER,
    {
        "type": "Replace",
        "pattern": {"Regex": "[" + "".join(f"\\{c}" for c in string.punctuation) + "]"},
        "content": "",
    },
    *_SINGLE_SPACES,
]
# What each way is in a tokenizer.json; the longest comes first, since one begins as another.
_STEPS = {
    "canonicalize": [
        {"type": "Replace", "pattern": {"String": "_"}, "content": " "},
        *_STRIPPED,
    ],
    "huggingface": _STRIPPED,
    "lower": [_LOWER],
    "whitespace": _SINGLE_SPACES,
    "none": [],
}
CLEANINGS = tuple(_STEPS)


def canonicalize(text):
    """Repair, drop punctuation, lower-case, single spaces: `keras_clip` -> `keras clip`.

    Source: mlfoundations/open_clip `tokenizer.py`, `_clean_canonicalize`; but for the repair it is
    big_vision's `prompt_engineering.py`, `canonicalize_text`.
    """
    text = text if is_plain(text) else repair_text(text)
    return " ".join(text.replace("_", " ").translate(_PUNCTUATION).lower().split())


def clean_whitespace(text):
    """Repair, single spaces: letters and punctuation stay.

    Source: mlfoundations/open_clip `tokenizer.py`, `_clean_whitespace`.
    """
    return " ".join((text if is_plain(text) else repair_text(text)).split())


def clean_as_transformers(text):
    """Lower-case, drop punctuation, single spaces: `keras_clip` -> `kerasclip`.

    Source: huggingface/transformers `tokenization_siglip.py`, `canonicalize_text`.
    """
    return " ".join(text.replace("\u2581", " ").lower().translate(_PUNCTUATION).split())


def cleaner(cleaning):
    """Return the function from a text to the clean text.

    Args:
        cleaning: one of CLEANINGS; `lower` is transformers' for SigLIP 2.
    """
    if cleaning == "none":
        return str
    if cleaning == "lower":
        from tokenizers import normalizers

        # Character by character, so that a final sigma stays one that is not.
        return normalizers.Lowercase().normalize_str
    return {
        "canonicalize": canonicalize,
        "huggingface": clean_as_transformers,
        "whitespace": clean_whitespace,
    }[cleaning]


def without_cleaning(normalizer):
    """Return a tokenizer's normalizer without the cleaning that it begins with, or None.

    Args:
        normalizer: `tokenizers.normalizers.Normalizer` or None.
    """
    steps = _listed(normalizer)
    for known in _STEPS.values():
        if known and steps[: len(known)] == known:
            return _made(steps[len(known) :])
    return normalizer


def with_cleaning(normalizer, cleaning):
    """Return a tokenizer's normalizer behind the cleaning, for libraries that know no other."""
    return _made([*_STEPS[cleaning], *_listed(without_cleaning(normalizer))])


def _listed(normalizer):
    if normalizer is None:
        return []
    state = json.loads(normalizer.__getstate__())
    return state["normalizers"] if state["type"] == "Sequence" else [state]


def _made(steps):
    """The normalizer of these steps; the library makes one from JSON only within a tokenizer."""
    from tokenizers import Tokenizer

    if not steps:
        return None
    content = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "model": {"type": "BPE", "vocab": {}, "merges": []},
    }
    return Tokenizer.from_str(json.dumps(content)).normalizer
