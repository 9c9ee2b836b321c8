"""Which tokenizer the files of a model are for."""

from pathlib import Path

from keras_clip.preprocessing.byte_alphabet import WORD_END
from keras_clip.preprocessing.pipeline_files import (
    FILE,
    class_name,
    has_model_alone,
    is_known_class,
)
from keras_clip.preprocessing.pipeline_tokenizer import PipelineTokenizer
from keras_clip.preprocessing.text_files import read_beside, read_json
from keras_clip.preprocessing.tokenizer import CLIPTokenizer
from keras_clip.preprocessing.vocabulary_files import KERAS_HUB

TOKENIZERS = (CLIPTokenizer, PipelineTokenizer)
# Classes of transformers that say nothing of what is in the tokenizer.json.
_ANY = (None, "PreTrainedTokenizer", "TokenizersBackend")


def tokenizer_class(path):
    """Return CLIPTokenizer or PipelineTokenizer: what the tokenizer's own files are for.

    Args:
        path: a vocabulary file, or a directory that holds one.

    Raises:
        ValueError: a file is damaged; the message names it.
    """
    path = Path(path)
    file = path / FILE if path.is_dir() else path
    if file.suffix == ".model" or (path.is_dir() and has_model_alone(path)):
        return PipelineTokenizer
    if (path / KERAS_HUB).is_dir():
        return CLIPTokenizer
    if file.suffix != ".json" or file.name == "vocab.json" or not file.is_file():
        return CLIPTokenizer
    named = class_name(read_beside(file.parent, "tokenizer_config.json"))
    if named not in _ANY:
        return PipelineTokenizer if is_known_class(named) else CLIPTokenizer
    model = read_json(file).get("model")
    model = model if isinstance(model, dict) else {}
    known = model.get("type") in ("Unigram", "WordPiece") or model.get("byte_fallback") is True
    other = not known or model.get("end_of_word_suffix") == WORD_END
    return CLIPTokenizer if other else PipelineTokenizer


def read_tokenizer(path, **settings):
    """Read the tokenizer of a path with its class's `from_file`."""
    return tokenizer_class(path).from_file(path, **settings)
