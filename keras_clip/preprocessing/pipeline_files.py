"""What stands beside a tokenizer.json: which tokens surround a text, and how it is cleaned."""

from pathlib import Path

from keras_clip.preprocessing.text_files import read_beside, read_text

FILE = "tokenizer.json"
_NO_LIMIT = 10**6  # transformers writes a huge model_max_length where none is set
_ENDS = {"end_token": "eos_token", "pad_token": "pad_token"}
_BERT = {"start_token": "cls_token", "end_token": "sep_token", "pad_token": "pad_token"}
# How transformers cleans texts before a tokenizer of each class (OpenCLIP says it itself), and what
# it calls the tokens around a text.
_CLASSES = {
    "SiglipTokenizer": ("huggingface", _ENDS),
    "Siglip2Tokenizer": ("lower", _ENDS),
    "GemmaTokenizer": ("lower", _ENDS),
    "T5Tokenizer": ("canonicalize", _ENDS),
    "XLMRobertaTokenizer": ("none", {"start_token": "bos_token", **_ENDS}),
    "BertTokenizer": ("none", _BERT),
}


def read_pipeline(path):
    """Read a tokenizer.json and the settings beside it.

    Args:
        path: the file, or a directory that holds it.

    Returns:
        (text of the file, constructor arguments, ids of tokens that files beside it add).

    Raises:
        FileNotFoundError: it is not there.
        ValueError: a file is damaged; the message names it.
    """
    path = Path(path)
    file = path / FILE if path.is_dir() else path
    if file.suffix == ".model" or (not file.is_file() and has_model_alone(file.parent)):
        raise FileNotFoundError(
            f"{path}: a sentencepiece model ('spiece.model') is not read: give a repository with "
            "tokenizer.json, such as tokenizer='hf://timm/ViT-B-16-SigLIP/tokenizer.json'."
        )
    if not file.is_file():
        raise FileNotFoundError(f"No {FILE} at {path}.")
    return read_text(file), _settings(file.parent), _added(file.parent)


def has_model_alone(folder):
    """Whether a directory's only vocabulary is a sentencepiece model."""
    others = ("tokenizer.json", "vocab.json")
    return any(folder.glob("*.model")) and not any((folder / name).is_file() for name in others)


def _settings(folder):
    content = read_beside(folder, "tokenizer_config.json")
    settings = {}
    length = content.get("model_max_length")
    if isinstance(length, int) and 0 < length < _NO_LIMIT:
        settings["context_length"] = length
    cleaning, names = _CLASSES.get(class_name(content), (None, _ENDS))
    for ours, theirs in names.items():
        token = content.get(theirs)
        # Early files write the token as {"content": ..., "lstrip": ...}.
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str):
            settings[ours] = token
    if cleaning is not None:
        settings["cleaning"] = cleaning
    own = content.get("keras_clip", {})
    return {**settings, **_open_clip(folder, settings), **(own if isinstance(own, dict) else {})}


def _added(folder):
    listed = read_beside(folder, "tokenizer_config.json").get("added_tokens_decoder") or {}
    try:
        added = {token["content"]: int(number) for number, token in listed.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder}: added_tokens_decoder is damaged ({error!r}).") from None
    return {**added, **read_beside(folder, "added_tokens.json")}


def class_name(content):
    """The class that a tokenizer_config.json names, without the `Fast` at its end, or None."""
    name = content.get("tokenizer_class")
    return name.removesuffix("Fast") if isinstance(name, str) else None


def is_known_class(name):
    """Whether a tokenizer of this class is read as a pipeline."""
    return name in _CLASSES


def _open_clip(folder, settings):
    """What open_clip_config.json says of a tokenizer that is not OpenCLIP's own."""
    model = read_beside(folder, "open_clip_config.json").get("model_cfg") or {}
    text = model.get("text_cfg") or {}
    arguments = text.get("tokenizer_kwargs") or {}
    found = {}
    if "clean" in arguments or text.get("hf_tokenizer_name"):
        found["cleaning"] = arguments.get("clean", "whitespace")
    if arguments.get("strip_sep_token") and "pad_token" in settings:
        found["end_token"] = settings["pad_token"]  # both have the id 0 then
    return found
