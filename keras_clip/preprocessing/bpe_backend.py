"""CLIP's splitting and byte-pair merging, built on the `tokenizers` library."""

from functools import cache

from keras_clip.preprocessing.byte_alphabet import WORD_END

# Contractions, runs of letters, single digits, runs of anything else. The official pattern
# ignores case; in lower-cased text that only adds the long s (U+017F).
_CONTRACTIONS = r"'[s\u017f]|'t|'re|'ve|'m|'ll|'d"
_REST = r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def build_backend(vocabulary, merges, specials, cleaning, allow_special, added=()):
    """A `tokenizers.Tokenizer` for one vocabulary.

    Args:
        vocabulary: dict of token to id.
        merges: list of (left, right) token pairs.
        specials: (start token, end token).
        cleaning: "openai" expects cleaned text, "huggingface" normalises inside.
        allow_special: whether special tokens written in the text keep their meaning.
        added: list of AddedToken, which "huggingface" looks for; else they are found before.

    Returns:
        The tokenizer; it adds neither start nor end.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    model = models.BPE(
        vocab=vocabulary,
        merges=[tuple(pair) for pair in merges],
        end_of_word_suffix=WORD_END,
        continuing_subword_prefix="",
        unk_token=specials[1],
    )
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [_splitter(specials if allow_special else ()), _byte_level()]
    )
    backend.decoder = decoders.ByteLevel()
    if cleaning == "huggingface":
        from tokenizers import Regex

        backend.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        if allow_special:
            backend.add_special_tokens(list(specials))
        searched = [token for token in added if allow_special or not token.special]
        backend.add_tokens([token.of_library() for token in searched])
    return backend


def special_or_plain(backend, text, specials):
    """Pieces of one cleaned text in which special tokens stand alone, as the official regex splits.

    Args:
        backend: from `build_backend`, with `allow_special`.
        text: cleaned text.
        specials: the special tokens.

    Returns:
        list of strings: special tokens, and the texts between them.
    """
    parts, last = [], 0
    for piece, (begin, end) in backend.pre_tokenizer.pre_tokenize_str(text):
        if piece in specials:
            parts += [text[last:begin], piece]
            last = end
    return [part for part in (*parts, text[last:]) if part]


def split_pieces(text):
    """Split cleaned text into the pieces that are merged on their own; no special tokens."""
    return [piece for piece, _ in _plain_splitter().pre_tokenize_str(text)]


@cache
def _plain_splitter():
    return _splitter(())


def _byte_level():
    from tokenizers import pre_tokenizers

    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def _splitter(specials):
    """The pre-tokenizer that keeps what CLIP's pattern matches and drops the rest (spaces)."""
    import re

    from tokenizers import Regex, pre_tokenizers

    words = [re.escape(token).replace("s", r"[s\u017f]") for token in specials]
    pattern = "|".join([*words, _CONTRACTIONS, _REST])
    return pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)


class WordCache(dict):
    """Ids of the words seen so far; a new word is encoded when it is asked for."""

    def __init__(self, encode):
        super().__init__()
        self._encode = encode

    def __missing__(self, word):
        ids = self[word] = self._encode(word)
        return ids

    def __reduce__(self):
        # A copy or a pickle starts empty: the words are soon known again.
        return WordCache, (self._encode,)
