"""Which tokenizer the files of a model are for."""

from pathlib import Path

from keras_clip.preprocessing.byte_alphabet import WORD_END
from keras_clip.preprocessing.siglip_files import CLASSES, FILE, has_model_alone, read_beside
from keras_clip.preprocessing.siglip_tokenizer import SigLIPTokenizer
from keras_clip.preprocessing.tokenizer import CLIPTokenizer
from keras_clip.preprocessing.vocabulary_files import KERAS_HUB, read_json

TOKENIZERS = (CLIPTokenizer, SigLIPTokenizer)
# Classes of transformers that say nothing of what is in the tokenizer.json.
_ANY = (None, "PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend")


def tokenizer_class(path):
    """Return CLIPTokenizer or SigLIPTokenizer: what the tokenizer's own files are for.

    Args:
        path: a vocabulary file, or a directory that holds one.

    Raises:
        ValueError: a file is damaged; the message names it.
    """
    path = Path(path)
    file = path / FILE if path.is_dir() else path
    if file.suffix == ".model" or (path.is_dir() and has_model_alone(path)):
        return SigLIPTokenizer
    if (path / KERAS_HUB).is_dir():
        return CLIPTokenizer
    if file.suffix != ".json" or file.name == "vocab.json" or not file.is_file():
        return CLIPTokenizer
    named = read_beside(file.parent, "tokenizer_config.json").get("tokenizer_class")
    if named not in _ANY:
        return SigLIPTokenizer if named in CLASSES else CLIPTokenizer
    model = read_json(file).get("model")
    model = model if isinstance(model, dict) else {}
    sentencepiece = model.get("type") == "Unigram" or model.get("byte_fallback") is True
    other = not sentencepiece or model.get("end_of_word_suffix") == WORD_END
    return CLIPTokenizer if other else SigLIPTokenizer


def read_tokenizer(path, **settings):
    """Read the tokenizer of a path with its class's `from_file`."""
    return tokenizer_class(path).from_file(path, **settings)
