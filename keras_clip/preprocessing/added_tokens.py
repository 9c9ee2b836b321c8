"""Tokens that were added to a finished vocabulary: found in a text before it is split."""

from dataclasses import asdict, dataclass, fields
from itertools import chain


@dataclass(frozen=True)
class AddedToken:
    """A token that a text is searched for, by the fields of a tokenizer.json.

    Args:
        content: the token as it stands in texts.
        single_word: only where no letter, digit or `_` touches it.
        lstrip, rstrip: the white space before or behind it belongs to it.
        normalized: it is searched for in the cleaned text, itself cleaned; else in the text as
            given.
        special: it is no text, like the end token.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = True
    special: bool = False

    @classmethod
    def from_dict(cls, values):
        """Build from a dictionary; fields of other names in it, such as an id, are left out.

        Raises:
            ValueError: it has no content, or a field is no truth value.
        """
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        content = known.pop("content", None)
        if not isinstance(content, str) or not content:
            raise ValueError(f"an added token has the content {content!r}.")
        known.setdefault("normalized", not known.get("special"))
        for name, value in known.items():
            if not isinstance(value, bool):
                raise ValueError(f"the added token {content!r} has {name}={value!r}.")
        return cls(content, **known)

    def to_dict(self):
        """The fields as plain values."""
        return asdict(self)

    def of_library(self, content=None):
        """The token as the `tokenizers` library has it; `content` in the place of its own."""
        from tokenizers import AddedToken

        values = self.to_dict()
        return AddedToken(**{**values, "content": content or self.content})


class TokenSplitter:
    """Splits a text at added tokens, as the `tokenizers` library does.

    Args:
        tokens: list of AddedToken.
        ids: dictionary of content to id.
        clean: function from a text to its clean text.
    """

    def __init__(self, tokens, ids, clean):
        self._clean = clean
        raw = [token for token in tokens if not token.normalized]
        clean_ones = [token for token in tokens if token.normalized]
        self._raw = _Finder([(token, token.content) for token in raw], ids)
        self._cleaned = _Finder([(token, clean(token.content)) for token in clean_ones], ids)

    def encode(self, text, lookup):
        """Return the ids of a text: a list.

        Args:
            text: string.
            lookup: function from a word between the added tokens to its ids.
        """
        ids = []
        for part in self._raw(text):
            for piece in self._cleaned(self._clean(part)) if isinstance(part, str) else [part]:
                words = [[piece]] if isinstance(piece, int) else map(lookup, piece.split())
                ids += chain.from_iterable(words)
        return ids


class _Finder:
    """Finds tokens in one text: (token, what to look for) pairs."""

    def __init__(self, wanted, ids):
        from tokenizers import Tokenizer, models

        # A model without a vocabulary says nothing of the text between the tokens.
        self._backend = Tokenizer(models.BPE())
        wanted = {text: token for token, text in wanted if text}
        self._ids = [ids[token.content] for token in wanted.values()]
        self._backend.add_tokens([token.of_library(text) for text, token in wanted.items()])

    def __call__(self, text):
        parts, last = [], 0
        if self._ids:
            found = self._backend.encode(text, add_special_tokens=False)
            for number, (begin, end) in zip(found.ids, found.offsets, strict=True):
                parts += [text[last:begin], self._ids[number]]
                last = end
        return [part for part in (*parts, text[last:]) if part != ""]
