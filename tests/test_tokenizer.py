"""The tokenizer gives OpenAI's ids, keeps its promises on rows, and says what is wrong."""

import copy
import html
import json
import pickle
from pathlib import Path

import ftfy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_clip.preprocessing import tokenizer as tokenizer_module
from keras_clip.preprocessing.text_cleaning import clean_words, repair_text
from keras_clip.preprocessing.tokenizer import CLIPTokenizer

FIXTURES = Path(__file__).parent / "fixtures" / "tokenizer"
TINY = FIXTURES / "tiny_vocabulary.txt.gz"
GOLDENS = json.loads((FIXTURES / "goldens.json").read_text(encoding="utf-8"))


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def tiny():
    return CLIPTokenizer.from_file(TINY, context_length=16)


@pytest.fixture(scope="module")
def openai(reference):
    return CLIPTokenizer.from_file(reference / "tokenizer" / "bpe_simple_vocab_16e6.txt.gz")


# --- ids


@pytest.mark.parametrize("row", GOLDENS["rows"], ids=lambda row: ascii(row["text"])[:40])
def test_tiny_vocabulary_gives_the_official_ids(tiny, row):
    assert tiny.encode(row["text"]) == row["ids"]
    assert tiny.detokenize(row["ids"]) == row["decoded"]


def test_all_official_ids(openai, reference):
    rows = read_lines(reference / "tokenizer" / "goldens.jsonl")
    wrong = [row["text"] for row in rows if openai.encode(row["text"]) != row["ids"]]
    assert len(rows) == 3037 and not wrong


def test_batches_give_the_same_ids_as_single_texts(openai, reference):
    rows = read_lines(reference / "tokenizer" / "goldens.jsonl")
    length = max(len(row["ids"]) for row in rows) + 2
    ids = openai([row["text"] for row in rows], context_length=length)
    for row, got in zip(rows, ids, strict=True):
        padding = [0] * (length - len(row["ids"]) - 2)
        assert got.tolist() == [49406, *row["ids"], 49407, *padding]


def test_official_truncation(openai, reference):
    rows = read_lines(reference / "tokenizer" / "truncated_77.jsonl")
    ids = openai([row["text"] for row in rows])
    assert ids.dtype == np.int32 and ids.shape == (len(rows), 77)
    np.testing.assert_array_equal(ids, [row["row"] for row in rows])
    for row in rows:
        with pytest.raises(ValueError, match="too long"):
            openai(row["text"], truncate=False)


def test_official_decoding(openai, reference):
    rows = read_lines(reference / "tokenizer" / "decode.jsonl")
    assert openai.detokenize([row["ids"] for row in rows]) == [row["decoded"] for row in rows]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Tom &amp;amp; Jerry", [2435, 261, 9164]),
        ("it’s a dog", [585, 568, 320, 1929]),
        ("schÃ¶n", [844, 7255, 333]),
        ("ﬁsh ﬂower", [2759, 4055]),
        ("a cat<|ENDOFTEXT|>", [320, 2368, 49407]),
    ],
)
def test_strings_on_which_libraries_differ(openai, text, ids):
    assert openai.encode(text) == ids


def test_sizes_and_special_ids(openai):
    assert (openai.vocabulary_size, openai.start_token_id, openai.end_token_id) == (
        49408,
        49406,
        49407,
    )


# --- special tokens in user text


def test_special_tokens_in_text_become_their_ids_by_default(tiny):
    start, end = tiny.start_token_id, tiny.end_token_id
    assert tiny.encode("<|startoftext|>") == [start]
    assert tiny.encode("a<|endoftext|>b")[1] == end
    # Only as a piece of its own: punctuation before it belongs to the same piece.
    assert end not in tiny.encode("!<|endoftext|>")


@pytest.mark.parametrize("cleaning", ["openai", "huggingface"])
def test_special_tokens_can_be_plain_text(cleaning):
    tokenizer = CLIPTokenizer.from_file(TINY, allow_special=False, cleaning=cleaning)
    texts = [row["text"] for row in GOLDENS["rows"]]
    for ids in map(tokenizer.encode, texts):
        assert not {tokenizer.start_token_id, tokenizer.end_token_id} & set(ids)
    spaced = tokenizer.detokenize(tokenizer.encode("a <|endoftext|> b"))
    assert spaced == "a <| endoftext |> b "


# --- rows


def test_rows_have_start_text_end_and_padding(tiny):
    rows = tiny(["a photo", "a", ""])
    text = tiny.encode("a photo")
    start, end = tiny.start_token_id, tiny.end_token_id
    assert rows.shape == (3, 16) and rows.dtype == np.int32
    assert rows[0].tolist() == [start, *text, end] + [0] * (14 - len(text))
    assert rows[2].tolist() == [start, end] + [0] * 14
    np.testing.assert_array_equal(tiny("a photo"), rows[:1])


def test_truncation_keeps_the_end_token(tiny):
    for length in (2, 3, 7):
        row = tiny("a photo of two red circles above the house", context_length=length)[0]
        assert len(row) == length and row[-1] == tiny.end_token_id
    text = "a photo of a red circle " * 9
    with pytest.raises(ValueError, match=r"Text 1 is too long: 65 tokens.*at most 16.*a photo"):
        tiny(["a", text], truncate=False)


def test_pad_token_id_fills_rows():
    tokenizer = CLIPTokenizer.from_file(TINY, pad_token_id=602)
    assert (tokenizer("a")[0, 3:] == 602).all()


def test_detokenize_gives_texts_back(tiny):
    texts = ["a photo of two red circles", "it's nice!"]
    rows = tiny(texts)
    assert tiny.detokenize(rows, skip_special=True) == [texts[0], "it 's nice !"]
    assert tiny.detokenize([]) == ""
    with pytest.raises(ValueError, match="603"):
        tiny.detokenize([603])


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ([], ValueError, "empty list"),
        (None, TypeError, "NoneType"),
        (["a", 3], TypeError, "text 1 is a int"),
        ([["a"]], TypeError, "text 0 is a list"),
        (b"a", TypeError, "bytes"),
    ],
)
def test_wrong_texts(tiny, texts, error, message):
    with pytest.raises(error, match=message):
        tiny(texts)


@pytest.mark.parametrize("length", [1, 0, -3, 2.5, True, "77"])
def test_wrong_context_length(tiny, length):
    with pytest.raises(ValueError, match="context_length"):
        tiny("a", context_length=length)


@pytest.mark.parametrize(
    "wrong", [{"cleaning": "none"}, {"pad_token_id": 603}, {"end_token": "[EOS]"}]
)
def test_wrong_settings(wrong):
    with pytest.raises(
        ValueError, match=rf"tiny_vocabulary.*{next(iter(wrong.values()))}".replace("[", r"\[")
    ):
        CLIPTokenizer.from_file(TINY, **wrong)


# --- cleaning


def slow_repair(text):
    return html.unescape(html.unescape(ftfy.fix_text(text)))


PIECES = st.one_of(
    st.text(max_size=8),
    st.sampled_from("’‘“”ʼéèüßÃÂâ€™œ¢ °·»&<>; \x1b\x0c\x85e\u0301\u212b🙂日ｱﬁ…–"),
    st.sampled_from(["&amp;", "&#38;", "&#x41", "Ã©", "â€œ", "\r\n", "d'œuvre", "&lt", "a"]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=8).map("".join))
def test_shortcuts_of_the_cleaning_change_nothing(text):
    assert repair_text(text) == slow_repair(text)
    regex = pytest.importorskip("regex")
    official = regex.sub(r"\s+", " ", slow_repair(text).strip()).strip().lower()
    assert " ".join(clean_words(text)) == official


# --- copies


@pytest.mark.parametrize("make", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copies_and_pickles_give_the_same_ids(tiny, make):
    texts = [row["text"] for row in GOLDENS["rows"]]
    np.testing.assert_array_equal(make(tiny)(texts), tiny(texts))


def test_the_memory_for_words_is_bounded(monkeypatch):
    monkeypatch.setattr(tokenizer_module, "_MOST_CACHED_WORDS", 3)
    tokenizer = CLIPTokenizer.from_file(TINY)
    first = tokenizer(["a red dog in two parks"])
    tokenizer(["x"])
    assert len(tokenizer._words) == 1
    np.testing.assert_array_equal(tokenizer(["a red dog in two parks"]), first)
