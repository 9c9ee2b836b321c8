"""JSON of strangers: objects that have every key once, and tables with an object a line."""

import json

from keras_clip.data.table_file import TableFile


def json_object(text):
    """The dictionary that a JSON text is, str or bytes.

    Raises:
        ValueError: it is no JSON, no object, or has a key twice.
    """
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"an object is expected, not {type(found).__name__}")
    return found


def json_lines_table(path):
    """Open a JSON Lines file: a TableFile, whose rows are numbered by their lines.

    A column that a row lacks is None there.

    Raises:
        ValueError: a line is no object; it is named.
    """
    header = list(dict.fromkeys(name for _, row in _lines(path) for name in row))

    def rows(names):
        for line, row in _lines(path):
            yield line, [row.get(name) for name in names]

    return TableFile(header, rows)


def _lines(path):
    with open(path, "rb") as file:
        for line, text in enumerate(file, 1):
            text = text.removeprefix(b"\xef\xbb\xbf") if line == 1 else text
            if not text.strip():
                continue
            try:
                yield line, json_object(text)
            except ValueError as error:
                raise ValueError(f"{path}, row {line}: no object in JSON: {error}.") from error


def _once(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} comes twice")
    return found
