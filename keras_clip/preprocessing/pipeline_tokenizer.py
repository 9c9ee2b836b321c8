"""Texts to token ids and back by any tokenizer.json: SigLIP's, Gemma's, BERT's, XLM-RoBERTa's."""

import numpy as np

from keras_clip.preprocessing.pipeline_cleaning import (
    CLEANINGS,
    cleaner,
    with_cleaning,
    without_cleaning,
)
from keras_clip.preprocessing.pipeline_files import read_pipeline
from keras_clip.preprocessing.text_files import write_tokenizer
from keras_clip.preprocessing.token_rows import checked_length, checked_texts, refuse_long

# Gemma's vocabulary, which SigLIP 2 has, SigLIP's, and BERT's; Gemma's `</s>` is the tag of HTML.
_END_TOKENS = ("<eos>", "</s>", "[SEP]")
# What fills a row up behind each of them; behind SigLIP's it is the end token again.
_PAD_TOKENS = {"<eos>": "<pad>", "[SEP]": "[PAD]"}


class PipelineTokenizer:
    """Tokenizer of a `tokenizer.json`: list of n strings -> (n, context_length) int32.

    A row is the start token if there is one, the text, the end token and padding. There is no mask:
    a text tower that sees the padding was trained to.

    Special tokens written in a text become their ids, as in transformers.

    Args:
        content: text of a tokenizer.json; the end token and the cleaning that it may add itself
            are not added twice.
        context_length: tokens in a row, end included.
        end_token: token after every text; None: the vocabulary's own.
        pad_token: token that fills a row; None: the end token, or the vocabulary's own where the
            end is `<eos>` or `[SEP]`.
        start_token: token before every text; None: there is none.
        cleaning: "canonicalize" (as OpenCLIP: repaired, lower case, without punctuation),
            "whitespace" (as OpenCLIP: repaired, single spaces), "huggingface" (as transformers'
            SiglipTokenizer: lower case, without punctuation, `_` included), "lower" (lower case
            alone, as transformers' Siglip2Tokenizer) or "none".

    Raises:
        ValueError: the content is damaged, an argument is out of range, or a special token is not
            in the vocabulary.
    """

    def __init__(
        self,
        content,
        context_length=64,
        end_token=None,
        pad_token=None,
        start_token=None,
        cleaning="canonicalize",
    ):
        if cleaning not in CLEANINGS:
            raise ValueError(f"cleaning must be one of {CLEANINGS}, got {cleaning!r}.")
        self._backend = _backend(content)
        vocabulary = self._backend.get_vocab(with_added_tokens=True)
        self.vocabulary_size = max(vocabulary.values(), default=-1) + 1
        self.context_length = checked_length(context_length)
        self.end_token = end_token or next((t for t in _END_TOKENS if t in vocabulary), None)
        usual = _PAD_TOKENS.get(self.end_token)
        self.pad_token = pad_token or (usual if usual in vocabulary else self.end_token)
        self.start_token = start_token
        around = [self.end_token, self.pad_token, *([start_token] if start_token else [])]
        for token in around:
            if token not in vocabulary:
                raise ValueError(f"The special token {token!r} is not in the vocabulary.")
        self._start = [vocabulary[start_token]] if start_token else []
        self.end_token_id = vocabulary[self.end_token]
        self.pad_token_id = vocabulary[self.pad_token]
        self.cleaning = cleaning
        self._clean = cleaner(cleaning)
        self._check_added()

    @classmethod
    def from_file(cls, path, **settings):
        """Read a tokenizer.json, or a saved tokenizer.

        Args:
            path: `tokenizer.json`, or a directory that holds it.
            **settings: constructor arguments. What is not given comes from
                `tokenizer_config.json` and `open_clip_config.json` beside it, else from the
                defaults.

        Returns:
            PipelineTokenizer.

        Raises:
            FileNotFoundError: there is none; a `spiece.model` alone is not read.
            ValueError: a damaged file; the message names it.
        """
        content, found, added = read_pipeline(path)
        try:
            read = cls(content, **{**found, **settings})
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error
        for token, index in added.items():
            if read._backend.token_to_id(token) != index:
                raise ValueError(
                    f"{path}: the token {token!r}, which a file beside it adds with the id {index},"
                    " is not in it: save the tokenizer again with transformers."
                )
        return read

    def __call__(self, texts, context_length=None, truncate=True):
        """Tokenize texts into rows: start, text, end, padding.

        Args:
            texts: a string or a list of n strings.
            context_length: tokens in a row, None for the tokenizer's own. A model needs its own:
                it reads a text off the last place, padding or not.
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
        rows = np.full((len(texts), length), self.pad_token_id, "int32")
        encoded = self._encode_all(texts)
        around = 1 + len(self._start)
        if not truncate:
            refuse_long(texts, encoded, length, around)
        for row, ids in zip(rows, encoded, strict=True):
            ids = [*self._start, *ids[: length - around], self.end_token_id]
            row[: len(ids)] = ids
        return rows

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
        return self._encode_all([text])[0]

    def detokenize(self, ids, skip_special=False):
        """Turn token ids into text.

        Args:
            ids: ids of one text, (length,), or rows, (n, length); lists or an array.
            skip_special: drop the start token, everything from the first end token on, and other
                special tokens.

        Returns:
            A string, or a list of n strings.

        Raises:
            ValueError: an id outside the vocabulary.
        """
        ids = np.asarray(ids).tolist()
        if ids and isinstance(ids[0], list):
            return [self.detokenize(row, skip_special) for row in ids]
        for index in ids:
            if not 0 <= index < self.vocabulary_size:
                raise ValueError(
                    f"Token id {index} is not in the vocabulary of {self.vocabulary_size} ids."
                )
        if skip_special and self.end_token_id in ids:
            ids = ids[: ids.index(self.end_token_id)]
        return self._backend.decode(ids, skip_special_tokens=skip_special)

    def get_config(self):
        """The settings beside the content, as constructor arguments."""
        names = ("context_length", "end_token", "pad_token", "start_token", "cleaning")
        return {name: getattr(self, name) for name in names}

    def save(self, directory):
        """Write `tokenizer.json` and `tokenizer_config.json`; `from_file(directory)` reads them.

        Both are files that transformers and `tokenizers` read too. There the cleaning and the end
        token are steps of the file; the repair of texts is not among them.

        Args:
            directory: folder, made if missing.
        """
        from tokenizers import Tokenizer, processors

        shared = Tokenizer.from_str(self._backend.to_str())
        shared.normalizer = with_cleaning(shared.normalizer, self.cleaning)
        start = [self.start_token] if self.start_token else []
        around = {self.end_token: self.end_token_id, **dict(zip(start, self._start, strict=True))}
        shared.post_processor = processors.TemplateProcessing(
            single=[*start, "$A", self.end_token],
            pair=[*start, "$A", self.end_token, "$B", self.end_token],
            special_tokens=list(around.items()),
        )
        settings = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": self.context_length,
            "padding_side": "right",
            "eos_token": self.end_token,
            "pad_token": self.pad_token,
            **({"bos_token": self.start_token} if self.start_token else {}),
            "keras_clip": self.get_config(),
        }
        write_tokenizer(directory, shared, settings)

    def _check_added(self):
        """Refuse tokens that were added to the vocabulary and that no cleaned text can hold."""
        text = self._backend.get_vocab(with_added_tokens=False)
        for token in self._backend.get_added_tokens_decoder().values():
            if token.content not in text and self._clean(token.content) != token.content:
                raise ValueError(
                    f"The added token {token.content!r} is not left whole by "
                    f"cleaning={self.cleaning!r}: it would never be found."
                )

    def _encode_all(self, texts):
        """Ids of every text, without start and end; the file's own special tokens stay out."""
        clean = [self._clean(text) for text in texts]
        encoded = self._backend.encode_batch_fast(clean, add_special_tokens=False)
        return [encoding.ids for encoding in encoded]


def _backend(content):
    """The pipeline of a tokenizer.json, without cleaning, truncation and padding."""
    from tokenizers import Tokenizer

    try:
        backend = Tokenizer.from_str(content)
    except Exception as error:  # the library raises no narrower one
        raise ValueError(f"is no tokenizer.json that can be read: {error}.") from None
    backend.no_padding()
    backend.no_truncation()
    backend.normalizer = without_cleaning(backend.normalizer)
    return backend
