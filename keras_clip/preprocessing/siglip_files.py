"""What stands in the tokenizer files of a SigLIP repository."""

from pathlib import Path

from keras_clip.preprocessing.vocabulary_files import read_json, read_text

FILE = "tokenizer.json"
_NO_LIMIT = 10**6  # transformers writes a huge model_max_length where none is set
# How transformers cleans texts before a tokenizer of each class; OpenCLIP says it itself.
_CLEANINGS = {
    "SiglipTokenizer": "huggingface",
    "Siglip2Tokenizer": "lower",
    "GemmaTokenizer": "lower",
    "GemmaTokenizerFast": "lower",
    "T5Tokenizer": "canonicalize",
    "T5TokenizerFast": "canonicalize",
}
CLASSES = tuple(_CLEANINGS)


def read_pipeline(path):
    """Read a tokenizer.json and the settings beside it.

    Args:
        path: the file, or a directory that holds it.

    Returns:
        (text of the file, constructor arguments).

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
    return read_text(file), _settings(file.parent)


def has_model_alone(folder):
    """Whether a directory's only vocabulary is a sentencepiece model."""
    others = ("tokenizer.json", "vocab.json")
    return any(folder.glob("*.model")) and not any((folder / name).is_file() for name in others)


def read_beside(folder, name):
    """The object in a JSON file of a directory, empty where there is no such file."""
    return read_json(folder / name) if (folder / name).is_file() else {}


def _settings(folder):
    content = read_beside(folder, "tokenizer_config.json")
    settings = {}
    length = content.get("model_max_length")
    if isinstance(length, int) and 0 < length < _NO_LIMIT:
        settings["context_length"] = length
    for ours, theirs in (("end_token", "eos_token"), ("pad_token", "pad_token")):
        token = content.get(theirs)
        # Early files write the token as {"content": ..., "lstrip": ...}.
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str):
            settings[ours] = token
    cleaning = _CLEANINGS.get(content.get("tokenizer_class"))
    model = read_beside(folder, "open_clip_config.json").get("model_cfg") or {}
    arguments = (model.get("text_cfg") or {}).get("tokenizer_kwargs") or {}
    cleaning = arguments.get("clean", cleaning)
    if cleaning is not None:
        settings["cleaning"] = cleaning
    own = content.get("keras_clip", {})
    return {**settings, **own} if isinstance(own, dict) else settings
