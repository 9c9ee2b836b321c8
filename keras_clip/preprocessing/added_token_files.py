"""Which tokens the files of a CLIP tokenizer add to its vocabulary, as transformers reads them."""

from keras_clip.preprocessing.added_tokens import AddedToken
from keras_clip.preprocessing.text_files import read_beside

CONFIG, ADDED, NAMED = "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json"
# Lists of special tokens beside those that have names of their own, such as `pad_token`.
_LISTS = ("additional_special_tokens", "extra_special_tokens")


def read_added_tokens(folder, vocabulary, stored=()):
    """Find the tokens that are not text of the vocabulary: {content: id}, [AddedToken].

    Args:
        folder: pathlib.Path of the directory.
        vocabulary: dictionary of token to id, without added tokens.
        stored: list of dictionaries, the `added_tokens` of a tokenizer.json.

    Raises:
        ValueError: a file is damaged, or names tokens, or ids of tokens, that transformers does
            not use; the message names them.
    """
    config, older = read_beside(folder, CONFIG), read_beside(folder, ADDED)
    listed, named = config.get("added_tokens_decoder"), read_beside(folder, NAMED)
    special = _special_tokens(config if listed is not None else {**config, **named}, folder)
    if listed is not None:
        found = {_number(key, CONFIG): _token(value, CONFIG) for key, value in listed.items()}
    else:
        # Those that this list alone names are not taken for special, since version 5.
        more = [str(token) for token in named.get(_LISTS[0]) or ()]
        marked = set(special) - set(more)
        found = {
            _number(index, ADDED): AddedToken(
                content, special=content in marked, normalized=content not in marked
            )
            for content, index in older.items()
        }
        found.update(
            (_number(token.get("id"), "tokenizer.json"), _token(token, "tokenizer.json"))
            for token in stored
        )
    tokens = [token for _, token in sorted(found.items())]
    there = {token.content for token in tokens}
    tokens += [token for content, token in special.items() if content not in there]
    ids = _assigned(tokens, vocabulary, {token.content: n for n, token in found.items()}, folder)
    ignored = {*older, *(str(token.get("content")) for token in stored)} - set(ids)
    if ignored:
        raise ValueError(
            f"{folder}: {CONFIG} lists the added tokens without {sorted(ignored)[:5]}, which other "
            "files of the tokenizer add: save it again with transformers, or take the list out."
        )
    return ids, tokens


def _assigned(tokens, vocabulary, stated, folder):
    """The id of each token: its own in the vocabulary, else the next that is free."""
    ids = {}
    for token in tokens:
        following = max([len(vocabulary), *(number + 1 for number in ids.values())])
        ids[token.content] = vocabulary.get(token.content, following)
        wanted = stated.get(token.content, ids[token.content])
        if ids[token.content] != wanted:
            raise ValueError(
                f"{folder}: the added token {token.content!r} has the id {wanted}, but where "
                f"tokens are added in this order it is {ids[token.content]}: a file of the "
                "tokenizer is missing, or belongs to another one."
            )
    return ids


def _special_tokens(values, folder):
    """The special tokens that stand under their names: {content: AddedToken}."""
    entries = [value for name, value in values.items() if name.endswith("_token")]
    for name in _LISTS:
        more = values.get(name) or []
        entries += more.values() if isinstance(more, dict) else more
    found = {}
    for entry in entries:
        if isinstance(entry, dict):
            token = _token({**entry, "special": True}, str(folder))
            found.setdefault(token.content, token)
        elif isinstance(entry, str):
            found.setdefault(entry, AddedToken(entry, normalized=False, special=True))
    return found


def _token(values, where):
    if not isinstance(values, dict):
        raise ValueError(f"{where}: the added token {values!r} is no JSON object.")
    try:
        return AddedToken.from_dict(values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _number(value, where):
    """An id, which may be the key of a JSON object."""
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if type(number) is not int or not 0 <= number < 2**31:
        raise ValueError(f"{where}: an added token has the id {value!r}, not a whole number.")
    return number
