"""Vocabularies: every published kind of file, saving, broken files, training."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from keras_clip.preprocessing.bpe_training import train_bpe, write_vocabulary
from keras_clip.preprocessing.tokenizer import CLIPTokenizer

FIXTURES = Path(__file__).parent / "fixtures" / "tokenizer"
TINY = FIXTURES / "tiny_vocabulary.txt.gz"
GOLDENS = json.loads((FIXTURES / "goldens.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["", "tokenizer.json", "vocab.json", "merges.txt"])
def test_hugging_face_files(reference, name):
    golden = json.loads((reference / "hf" / "clip_base_tokenizer.json").read_text("utf-8"))
    path = reference / "hf" / "clip_base" / name
    ours = CLIPTokenizer.from_file(path)
    assert [ours.encode(text) for text in golden["texts"]] == golden["official_ids"]
    theirs = CLIPTokenizer.from_file(path, cleaning="huggingface")
    # Length and pad token come from tokenizer_config.json.
    np.testing.assert_array_equal(theirs(golden["texts"]), golden["input_ids"])


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
    transformers = pytest.importorskip("transformers", minversion="5")
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
