"""CLIP's tokenizer: texts to token ids and back, with exactly OpenAI's ids."""

from itertools import chain

import numpy as np

from keras_clip.preprocessing.added_tokens import AddedToken, TokenSplitter
from keras_clip.preprocessing.bpe_backend import WordCache, build_backend, special_or_plain
from keras_clip.preprocessing.byte_alphabet import token_bytes
from keras_clip.preprocessing.text_cleaning import clean_text, clean_words
from keras_clip.preprocessing.text_files import write_tokenizer
from keras_clip.preprocessing.token_rows import (
    checked_length,
    checked_texts,
    pack_rows,
    refuse_long,
)
from keras_clip.preprocessing.vocabulary_files import END_TOKEN, START_TOKEN, read_vocabulary

_CLEANINGS = ("openai", "huggingface")
_MOST_CACHED_WORDS = 200_000


class CLIPTokenizer:
    """Byte-pair tokenizer: list of n strings -> (n, context_length) int32.

    Special tokens written literally inside a text: by default they become the special ids, as in
    OpenAI's code, wherever its pattern sees them as a piece of their own (`a<|endoftext|>`, but not
    `!<|endoftext|>`). `allow_special=False` reads them as plain characters, so that a text from a
    stranger cannot move the end of text.

    Args:
        vocabulary: dict of token to id.
        merges: list of (left, right) token pairs, most important first.
        context_length: tokens in a row, start and end included.
        pad_token_id: id that fills a row after the end token.
        start_token: token before every text.
        end_token: token after every text.
        cleaning: "openai" (ftfy, HTML entities, Python's lower case) or "huggingface" (NFC and
            lower case, as the `tokenizers` pipeline of transformers does it).
        allow_special: whether special tokens written in a text become their ids.
        added_tokens: list of dictionaries as in a tokenizer.json (`content`, `special`,
            `normalized`, `single_word`, `lstrip`, `rstrip`): tokens that a text is searched for
            before it is split into words, as of textual inversion. Their ids are in `vocabulary`;
            start and end token are passed over.

    Raises:
        ValueError: an argument is out of range, or a special or added token is not in the
            vocabulary.

    Source: openai/CLIP `clip/simple_tokenizer.py`, `clip/clip.py`.
    """

    def __init__(
        self,
        vocabulary,
        merges,
        context_length=77,
        pad_token_id=0,
        start_token=START_TOKEN,
        end_token=END_TOKEN,
        cleaning="openai",
        allow_special=True,
        added_tokens=(),
    ):
        if cleaning not in _CLEANINGS:
            raise ValueError(f"cleaning must be one of {_CLEANINGS}, got {cleaning!r}.")
        around = (start_token, end_token)
        self.added_tokens = [one for one in added_tokens if one.get("content") not in around]
        self._added = [AddedToken.from_dict(values) for values in self.added_tokens]
        for token in (*around, *(token.content for token in self._added)):
            if token not in vocabulary:
                raise ValueError(f"The special token {token!r} is not in the vocabulary.")
        self.vocabulary = vocabulary
        self.merges = merges
        self.vocabulary_size = max(vocabulary.values()) + 1
        self.context_length = checked_length(context_length)
        if pad_token_id not in range(self.vocabulary_size):
            raise ValueError(
                f"pad_token_id must be in 0..{self.vocabulary_size - 1}, got {pad_token_id!r}."
            )
        self.pad_token_id = int(pad_token_id)
        self.start_token, self.end_token = start_token, end_token
        self.start_token_id, self.end_token_id = vocabulary[start_token], vocabulary[end_token]
        self.cleaning = cleaning
        self.allow_special = bool(allow_special)
        self._backend = self._split = None
        self._words = WordCache(self._encode_word)  # captions share most of theirs
        self._tokens = None

    @classmethod
    def from_file(cls, path, **settings):
        """Read a vocabulary in OpenAI's format or Hugging Face's, or a saved tokenizer.

        Args:
            path: `bpe_*.txt.gz`, `vocab.json` (with `merges.txt` beside it), `tokenizer.json`, or
                a directory that holds them.
            **settings: constructor arguments. What is not given comes from
                `tokenizer_config.json` beside the vocabulary, else from the defaults.

        Returns:
            CLIPTokenizer.

        Raises:
            FileNotFoundError: no vocabulary there.
            ValueError: a damaged file; the message names it.
        """
        read = read_vocabulary(path)
        found = {"added_tokens": [token.to_dict() for token in read.added], **read.settings}
        pad_token = found.pop("pad_token", None)
        if "pad_token_id" not in found and pad_token in read.vocabulary:
            found["pad_token_id"] = read.vocabulary[pad_token]
        try:
            return cls(read.vocabulary, read.merges, **{**found, **settings})
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error

    def __call__(self, texts, context_length=None, truncate=True):
        """Tokenize texts into rows: start, text, end, padding.

        Args:
            texts: a string or a list of n strings.
            context_length: tokens in a row, None for the tokenizer's own.
            truncate: cut texts that are too long and keep the end token in the last place; False
                raises instead.

        Returns:
            (n, context_length) int32 NumPy array.

        Raises:
            TypeError: something else than strings.
            ValueError: an empty list, or a text that is too long with `truncate=False`.
        """
        texts = checked_texts(texts)
        length = self.context_length if context_length is None else checked_length(context_length)
        encoded = self._encode_all(texts)
        if not truncate:
            refuse_long(texts, encoded, length)
        return pack_rows(encoded, length, self.start_token_id, self.end_token_id, self.pad_token_id)

    def encode(self, text):
        """Token ids of one text, without start and end, not cut.

        Args:
            text: a string.

        Returns:
            list of int.

        Raises:
            TypeError: not a string.
        """
        if not isinstance(text, str):
            raise TypeError(f"encode takes one string, got {type(text).__name__}.")
        return list(self._encode_all([text])[0])

    def detokenize(self, ids, skip_special=False):
        """Turn token ids into text: every word in lower case and followed by a space.

        Args:
            ids: ids of one text, (length,), or rows, (n, length); lists or an array.
            skip_special: drop the start token and everything from the first end token on.

        Returns:
            A string, or a list of n strings.

        Raises:
            ValueError: an id outside the vocabulary.
        """
        if isinstance(ids, np.ndarray) or hasattr(ids, "__array__"):
            ids = np.asarray(ids).tolist()
        ids = list(ids)
        if ids and not isinstance(ids[0], (int, np.integer)):
            return [self.detokenize(row, skip_special) for row in ids]
        if skip_special:
            ids = ids[: ids.index(self.end_token_id)] if self.end_token_id in ids else ids
            ids = [index for index in ids if index != self.start_token_id]
        text = b"".join(self._token_bytes(index) for index in ids)
        text = text.decode("utf-8", errors="replace").replace("</w>", " ")
        return text.rstrip(" ") if skip_special else text

    def get_config(self):
        """The settings beside vocabulary and merges, as constructor arguments."""
        names = ("context_length", "pad_token_id", "start_token", "end_token", "cleaning")
        return {name: getattr(self, name) for name in (*names, "allow_special", "added_tokens")}

    def save(self, directory):
        """Write `tokenizer.json` and `tokenizer_config.json`; `from_file(directory)` reads them.

        Both are files that transformers and `tokenizers` read too; they then clean texts their way.

        Args:
            directory: folder, made if missing.
        """
        shared = self._build_backend("huggingface", allow_special=True)
        own = self.get_config()
        del own["added_tokens"]  # they stand in the other file
        settings = {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": self.context_length,
            "bos_token": self.start_token,
            "eos_token": self.end_token,
            "unk_token": self.end_token,
            # transformers treats its pad token as special everywhere; with id 0 that would be "!".
            "pad_token": self.end_token,
            "keras_clip": own,
        }
        write_tokenizer(directory, shared, settings)

    def _encode_all(self, texts):
        """Ids of every text, without start and end."""
        if self._backend is None:
            self._backend = self._build_backend(self.cleaning, self.allow_special)
            searched = [t for t in self._added if self.allow_special or not t.special]
            self._split = TokenSplitter(searched, self.vocabulary, clean_text) if searched else None
        if self.cleaning == "huggingface":
            return [encoding.ids for encoding in self._backend.encode_batch_fast(texts)]
        # No piece crosses a space, so every word is encoded once and looked up afterwards.
        if len(self._words) > _MOST_CACHED_WORDS:
            self._words.clear()
        lookup = self._words.__getitem__
        if self._split:
            return [self._split.encode(text, lookup) for text in texts]
        return [list(chain.from_iterable(map(lookup, clean_words(text)))) for text in texts]

    def _build_backend(self, cleaning, allow_special):
        around, added = (self.start_token, self.end_token), self._added
        return build_backend(self.vocabulary, self.merges, around, cleaning, allow_special, added)

    def _encode_word(self, word):
        """The ids of a cleaned word, special tokens in it replaced by theirs."""
        specials = {self.start_token: self.start_token_id, self.end_token: self.end_token_id}
        if not self.allow_special or not any(token in word for token in specials):
            return tuple(self._backend.encode(word).ids)
        ids = []
        for part in special_or_plain(self._backend, word, specials):
            ids += [specials[part]] if part in specials else self._backend.encode(part).ids
        return tuple(ids)

    def _token_bytes(self, index):
        """The bytes that stand for one token id."""
        if self._tokens is None:
            self._tokens = {number: token for token, number in self.vocabulary.items()}
        if index not in self._tokens:
            raise ValueError(
                f"Token id {index} is not in the vocabulary of {self.vocabulary_size} ids."
            )
        if any(index == self.vocabulary[token.content] for token in self._added):
            return self._tokens[index].encode("utf-8")
        return token_bytes(self._tokens[index])
