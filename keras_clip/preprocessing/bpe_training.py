"""Train a byte-pair vocabulary and write it in the format of CLIP's own vocabulary file."""

import gzip
import io
from collections import Counter, defaultdict
from itertools import pairwise

from keras_clip.preprocessing.atomic_file import write_bytes
from keras_clip.preprocessing.byte_alphabet import WORD_END, byte_symbols
from keras_clip.preprocessing.text_cleaning import clean_words

_FIXED_TOKENS = 514  # 256 bytes, 256 bytes at the end of a word, start, end


def train_bpe(captions, vocabulary_size, path=None):
    """Learn byte-pair merges from captions; the same captions always give the same merges.

    Args:
        captions: iterable of strings; they are cleaned as the tokenizer cleans them.
        vocabulary_size: number of token ids wanted, at least 514 (bytes, start and end). Fewer
            result when no pair of tokens occurs twice any more.
        path: where to write the vocabulary file (`.txt.gz`), None to write nothing.

    Returns:
        list of (left, right) token pairs, most important first. The ids that follow from them
        are: bytes, bytes at a word's end, merges, start, end.

    Raises:
        ValueError: vocabulary_size below 514, or no caption.
    """
    if vocabulary_size < _FIXED_TOKENS:
        raise ValueError(
            f"vocabulary_size must be at least {_FIXED_TOKENS} (256 bytes, 256 bytes at the end "
            f"of a word, start and end), got {vocabulary_size}."
        )
    counts = _count_words(captions)
    if not counts:
        raise ValueError("train_bpe needs at least one caption with text in it, got none.")
    merges = _learn_merges(counts, vocabulary_size - _FIXED_TOKENS)
    if path is not None:
        write_vocabulary(path, merges)
    return merges


def write_vocabulary(path, merges):
    """Write merges as CLIP's `bpe_simple_vocab` file (gzip): a header, then one merge a line.

    Args:
        path: file to write; the bytes depend on the merges alone (no date, no name inside).
        merges: sequence of (left, right) token pairs, most important first.
    """
    # No line end after the last merge: OpenAI's reader would take the empty line for a token.
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write("\n".join(lines).encode("utf-8"))
    write_bytes(path, buffer.getvalue())


def _count_words(captions):
    """How often each word, as a tuple of byte symbols, occurs in the captions."""
    from keras_clip.preprocessing.bpe_backend import split_pieces

    words = Counter()
    for caption in captions:
        words.update(clean_words(caption))
    symbols = byte_symbols()
    counts = Counter()
    for word, count in words.items():
        for piece in split_pieces(word):
            letters = [symbols[byte] for byte in piece.encode("utf-8")]
            letters[-1] += WORD_END
            counts[tuple(letters)] += count
    return counts


def _learn_merges(counts, limit):
    """Merge the most frequent pair of neighbours until `limit` merges or no pair occurs twice."""
    words = [[list(word), count] for word, count in sorted(counts.items())]
    pairs, where = Counter(), defaultdict(set)
    for index, (word, count) in enumerate(words):
        for pair in pairwise(word):
            pairs[pair] += count
            where[pair].add(index)
    merges, products = [], set()
    while len(merges) < limit:
        # Two merges with one product would share an id, so the first of them stays alone.
        rivals = [p for p, n in pairs.items() if n > 1 and "".join(p) not in products]
        if not rivals:
            break
        best = min(rivals, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        products.add("".join(best))
        for index in sorted(where.pop(best)):
            word, count = words[index]
            for pair in pairwise(word):
                pairs[pair] -= count
            word[:] = _merge(word, best)
            for pair in pairwise(word):
                pairs[pair] += count
                where[pair].add(index)
    return merges


def _merge(word, pair):
    """The word with every occurrence of the pair joined, from left to right."""
    merged, position = [], 0
    while position < len(word):
        if tuple(word[position : position + 2]) == pair:
            merged.append("".join(pair))
            position += 2
        else:
            merged.append(word[position])
            position += 1
    return merged
