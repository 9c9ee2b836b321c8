"""Text and JSON files of a tokenizer, read with care for what they may be."""

import gzip
import json
from pathlib import Path

from keras_clip.preprocessing.atomic_file import write_bytes

_MOST_BYTES = 64 * 2**20


def read_text(path):
    """Return the text of a file, unpacked where it is packed with gzip.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is damaged, empty or too large; the message names it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No vocabulary file at {path}.")
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with (gzip.open if packed else open)(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES >> 20} MiB of text")
        if not data:
            raise ValueError("it is empty")
        return data.decode("utf-8")
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{path} is not a readable vocabulary file: {error}.") from error


def read_json(path):
    """Return the object in a JSON file as a dictionary; errors as `read_text`."""
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON: {error}.") from error
    except RecursionError as error:
        raise ValueError(f"{path} is not valid JSON: nested too deeply.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(content).__name__}.")
    return content


def read_beside(folder, name):
    """The object in a JSON file of a directory, empty where there is no such file."""
    return read_json(folder / name) if (folder / name).is_file() else {}


def write_tokenizer(directory, backend, settings):
    """Write tokenizer.json and tokenizer_config.json.

    Args:
        directory: folder, made if missing.
        backend: `tokenizers.Tokenizer`.
        settings: dictionary.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    write_bytes(directory / "tokenizer.json", backend.to_str(pretty=False).encode("utf-8"))
    text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    write_bytes(directory / "tokenizer_config.json", text.encode("utf-8"))
