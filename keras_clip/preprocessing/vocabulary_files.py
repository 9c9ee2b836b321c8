"""Read a CLIP vocabulary from any of the files it is published in."""

from dataclasses import dataclass, field
from pathlib import Path

from keras_clip.preprocessing.added_token_files import CONFIG, read_added_tokens
from keras_clip.preprocessing.byte_alphabet import WORD_END, merged_vocabulary
from keras_clip.preprocessing.text_files import read_beside, read_json, read_text

START_TOKEN, END_TOKEN = "<|startoftext|>", "<|endoftext|>"
# OpenAI's file holds more merges than the published models use: 49,408 ids less 514.
_MOST_MERGES = 48_894
KERAS_HUB = "assets/tokenizer"  # in its presets
_NO_LIMIT = 10**6  # transformers writes a huge model_max_length where none is set


@dataclass(frozen=True)
class VocabularyFile:
    """What a vocabulary file says: ids, merges, and the settings that stand beside them.

    Args:
        vocabulary: dict of token to id, added tokens included.
        merges: list of (left, right) token pairs.
        settings: constructor arguments of the tokenizer.
        added: list of AddedToken, start and end included.
    """

    vocabulary: dict
    merges: list
    settings: dict = field(default_factory=dict)
    added: list = field(default_factory=list)


def read_vocabulary(path):
    """Read `bpe_simple_vocab*.txt[.gz]`, `vocab.json` with `merges.txt`, or `tokenizer.json`.

    Args:
        path: one of these files, or a directory that holds them; or a preset of KerasHub.

    Returns:
        VocabularyFile.

    Raises:
        FileNotFoundError: no such file, or none of them in the directory.
        ValueError: the file is damaged or of another kind; the message names it.
    """
    path = Path(path)
    if (path / KERAS_HUB).is_dir():
        return _read_keras_hub(path)
    if path.is_dir():
        path = _find(path)
    if not path.is_file():
        raise FileNotFoundError(f"No vocabulary file at {path}.")
    if path.name == "vocab.json" or path.name == "merges.txt":
        return _read_pair(path.parent)
    if path.suffix == ".json":
        return _read_tokenizer_json(path)
    merges = _read_merges(path)[:_MOST_MERGES]
    if not merges:
        raise ValueError(f"{path}: holds no merges, lines of two tokens behind a header.")
    return VocabularyFile(merged_vocabulary(merges, START_TOKEN, END_TOKEN), merges)


def _find(folder):
    """The vocabulary file of a directory."""
    for name in ("tokenizer.json", "vocab.json"):
        if (folder / name).is_file():
            return folder / name
    found = sorted([*folder.glob("bpe_*.txt.gz"), *folder.glob("bpe_*.txt")])
    if found:
        return found[0]
    raise FileNotFoundError(
        f"{folder} holds no vocabulary: expected tokenizer.json, vocab.json with merges.txt, or "
        "bpe_*.txt.gz."
    )


def _read_pair(folder):
    vocabulary = read_json(folder / "vocab.json")
    merges = _read_merges(folder / "merges.txt")
    return _with_added(folder / "vocab.json", vocabulary, merges)


def _read_keras_hub(folder):
    """KerasHub's vocabulary; its tokenizer.json holds settings, and its merges have no header."""
    path = folder / KERAS_HUB / "vocabulary.json"
    vocabulary = read_json(path)
    merges = _read_merges(folder / KERAS_HUB / "merges.txt", header=0)
    return VocabularyFile(_checked(vocabulary, merges, path), merges)


def _read_tokenizer_json(path):
    content = read_json(path)
    model = content.get("model")
    if not isinstance(model, dict) or model.get("end_of_word_suffix") != WORD_END:
        raise ValueError(
            f"{path} is not a CLIP tokenizer: expected a byte-pair model whose words end in "
            f"{WORD_END}."
        )
    try:
        pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
        merges = [(str(left), str(right)) for left, right in pairs]
        vocabulary, stored = dict(model["vocab"]), list(content.get("added_tokens") or ())
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged vocabulary or merges ({error!r}).") from error
    return _with_added(path, vocabulary, merges, stored)


def _with_added(path, vocabulary, merges, stored=()):
    """The VocabularyFile of a file and of what stands beside it."""
    ids, tokens = read_added_tokens(path.parent, vocabulary, stored)
    vocabulary = _checked({**vocabulary, **ids}, merges, path)
    return VocabularyFile(vocabulary, merges, _read_settings(path.parent), tokens)


def _read_settings(folder):
    """Settings from `tokenizer_config.json` beside the vocabulary, in the constructor's words."""
    content, settings = read_beside(folder, CONFIG), {}
    length = content.get("model_max_length")
    if isinstance(length, int) and 0 < length < _NO_LIMIT:
        settings["context_length"] = length
    for ours, theirs in (("start", "bos"), ("end", "eos"), ("pad", "pad")):
        token = content.get(f"{theirs}_token")
        # Early files write the token as {"content": ..., "lstrip": ...}.
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str):
            settings[f"{ours}_token"] = token
    own = content.get("keras_clip", {})
    return {**settings, **own} if isinstance(own, dict) else settings


def _read_merges(path, header=1):
    """Merges of a text file: lines of a header, then two tokens a line."""
    merges = []
    for number, line in enumerate(read_text(path).split("\n")[header:], start=header + 1):
        pair = tuple(line.rstrip("\r").split(" "))
        if pair == ("",):
            continue
        if len(pair) != 2 or not all(pair):
            raise ValueError(f"{path}, line {number}: expected two tokens, got {line[:80]!r}.")
        merges.append(pair)
    return merges


def _checked(vocabulary, merges, path):
    """The vocabulary, once every id is a sound number and every merge has its tokens."""
    for token, index in vocabulary.items():
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < 2**31:
            raise ValueError(f"{path}: token {token!r} has the id {index!r}, not a whole number.")
    for left, right in merges:
        for token in (left, right, left + right):
            if token not in vocabulary:
                raise ValueError(f"{path}: the merge {left!r} {right!r} needs the token {token!r}.")
    return vocabulary
