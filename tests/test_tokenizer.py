"""The tokenizer gives OpenAI's ids, reads every published vocabulary and says what is wrong."""

import gzip
import html
import json
from pathlib import Path

import ftfy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_clip.preprocessing.bpe_training import train_bpe, write_vocabulary
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


@pytest.mark.parametrize("name", ["", "tokenizer.json", "vocab.json", "merges.txt"])
def test_hugging_face_files(reference, name):
    golden = json.loads((reference / "hf" / "clip_base_tokenizer.json").read_text("utf-8"))
    path = reference / "hf" / "clip_base" / name
    ours = CLIPTokenizer.from_file(path)
    assert [ours.encode(text) for text in golden["texts"]] == golden["official_ids"]
    theirs = CLIPTokenizer.from_file(path, cleaning="huggingface")
    # Length and pad token come from tokenizer_config.json.
    np.testing.assert_array_equal(theirs(golden["texts"]), golden["input_ids"])


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


# --- files


def settings_of(tokenizer):
    return tokenizer.get_config(), tokenizer.vocabulary, list(map(tuple, tokenizer.merges))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"context_length": 24, "pad_token_id": 602, "cleaning": "huggingface"},
        {"allow_special": False, "context_length": 500},
    ],
)
def test_save_and_load_loses_nothing(tmp_path, changes):
    tokenizer = CLIPTokenizer.from_file(TINY, **changes)
    tokenizer.save(tmp_path / "new" / "folder")
    back = CLIPTokenizer.from_file(tmp_path / "new" / "folder")
    assert settings_of(back) == settings_of(tokenizer)
    assert {**CLIPTokenizer.from_file(TINY).get_config(), **changes} == back.get_config()
    texts = [row["text"] for row in GOLDENS["rows"]]
    np.testing.assert_array_equal(back(texts), tokenizer(texts))
    names = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert names == ["tokenizer.json", "tokenizer_config.json"]


def test_transformers_reads_what_we_save(tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer = CLIPTokenizer.from_file(TINY, cleaning="huggingface")
    tokenizer.save(tmp_path)
    peer = transformers.CLIPTokenizer.from_pretrained(tmp_path)
    texts = ["a photo of a RED circle!", "naïve  café, it's", "<|endoftext|> 12"]
    assert [ids[1:-1] for ids in peer(texts)["input_ids"]] == list(map(tokenizer.encode, texts))


def test_plain_text_vocabulary_and_windows_lines(tmp_path):
    lines = gzip.decompress(TINY.read_bytes()).decode("utf-8").split("\n")
    path = tmp_path / "bpe_plain.txt"
    path.write_bytes("\r\n".join([*lines, ""]).encode("utf-8"))
    assert settings_of(CLIPTokenizer.from_file(path)) == settings_of(CLIPTokenizer.from_file(TINY))
    assert CLIPTokenizer.from_file(tmp_path).vocabulary_size == 603


BPE = {"end_of_word_suffix": "</w>", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
BROKEN = {
    "empty.txt.gz": b"",
    "cut.txt.gz": TINY.read_bytes()[:200],
    "text.txt.gz": b"no gzip at all",
    "binary.txt": b"\xff\xfe\x00\x80\n\xff",
    "three.txt": b"#version\na b c",
    "no.json": b"{",
    "list.json": b"[]",
    "deep.json": b"[" * 200_000,
    "other.json": json.dumps({"model": {"type": "WordPiece", "vocab": {}}}).encode(),
    "merges.json": json.dumps({"model": {**BPE, "merges": [["a", "c"]]}}).encode(),
    "shape.json": json.dumps({"model": {**BPE, "merges": ["a"]}}).encode(),
    "id.json": json.dumps({"model": {**BPE, "vocab": {"a": -1, "b": 1, "ab": 2}}}).encode(),
    "special.json": json.dumps({"model": BPE}).encode(),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_broken_vocabularies_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(BROKEN[name])
    with pytest.raises(ValueError, match=name):
        CLIPTokenizer.from_file(tmp_path / name)


def test_missing_vocabularies(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no vocabulary"):
        CLIPTokenizer.from_file(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        CLIPTokenizer.from_file(tmp_path / "none.txt")
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"merges\.txt"):
        CLIPTokenizer.from_file(tmp_path)


# --- training


def test_training_is_deterministic(tmp_path):
    captions = ["a red circle above a blue square", "two red circles", "three blue squares"] * 3
    merges = train_bpe(captions, 560, tmp_path / "a.txt.gz")
    assert merges == train_bpe(reversed(captions), 560, tmp_path / "b.txt.gz")
    assert (tmp_path / "a.txt.gz").read_bytes() == (tmp_path / "b.txt.gz").read_bytes()
    tokenizer = CLIPTokenizer.from_file(tmp_path / "a.txt.gz")
    assert tokenizer.vocabulary_size == 514 + len(merges) <= 560
    assert len(tokenizer.vocabulary) == tokenizer.vocabulary_size
    assert (tokenizer.start_token_id, tokenizer.end_token_id) == (
        tokenizer.vocabulary_size - 2,
        tokenizer.vocabulary_size - 1,
    )
    assert len(tokenizer.encode("a red circle")) == 3


def test_training_takes_the_most_frequent_pair_first():
    assert train_bpe(["ab ab ab cd cd ab"], 516) == [("a", "b</w>"), ("c", "d</w>")]
    assert train_bpe(["xyz", "xyz"], 600) == [("x", "y"), ("xy", "z</w>")]


def test_training_needs_captions_and_room():
    with pytest.raises(ValueError, match="514"):
        train_bpe(["a"], 513)
    with pytest.raises(ValueError, match="at least one caption"):
        train_bpe(["", "  "], 600)


def test_vocabulary_file_has_no_date(tmp_path):
    write_vocabulary(tmp_path / "v.txt.gz", [("a", "b</w>")])
    data = (tmp_path / "v.txt.gz").read_bytes()
    assert data[3:8] == b"\0" * 5 and gzip.decompress(data) == b"#version: 0.2\na b</w>"
    assert [path.name for path in tmp_path.iterdir()] == ["v.txt.gz"]
