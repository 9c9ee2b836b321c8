"""The 256 printable characters that stand for bytes in CLIP's vocabulary."""

from functools import cache

WORD_END = "</w>"


@cache
def byte_symbols():
    """The character of every byte, in the order of CLIP's token ids.

    Printable Latin-1 bytes stand for themselves and come first; the other 68 bytes take the
    characters from U+0100 on. The id of a byte inside a word is its position here, at the end of
    a word 256 more.

    Returns:
        dict of byte (int) to character, 256 entries in id order.

    Source: openai/CLIP `clip/simple_tokenizer.py`, `bytes_to_unicode`.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(printable)]
    symbols = {byte: chr(byte) for byte in printable}
    symbols.update({byte: chr(256 + n) for n, byte in enumerate(hidden)})
    return symbols


@cache
def symbol_bytes():
    """The inverse of `byte_symbols`: character to byte (int)."""
    return {symbol: byte for byte, symbol in byte_symbols().items()}


def token_bytes(token):
    """The bytes that a token of the vocabulary stands for."""
    letters = symbol_bytes()
    return bytes(letters[letter] for letter in token if letter in letters)


def merged_vocabulary(merges, start_token, end_token):
    """Token ids that follow from merges alone: bytes, bytes at a word's end, merges, start, end.

    Args:
        merges: sequence of pairs of tokens, most important first.
        start_token: text of the token before a caption.
        end_token: text of the token after a caption.

    Returns:
        dict of token to id, `512 + len(merges) + 2` ids.
    """
    alphabet = list(byte_symbols().values())
    tokens = alphabet + [symbol + WORD_END for symbol in alphabet]
    tokens += ["".join(pair) for pair in merges] + [start_token, end_token]
    return {token: index for index, token in enumerate(tokens)}
