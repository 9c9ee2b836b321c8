"""Captions that say nothing or cannot be read: counted, named, and never trained on."""

import json

import numpy as np
import pytest
from bulk_jobs import embed
from picture_sources import png, tar
from tiny_models import tiny_clip, tiny_tokenizer

from keras_clip.data import open_pictures
from keras_clip.evaluate import caption_retrieval
from keras_clip.train import Pairs

pytest.importorskip("grain")
COUNT = 6
WITHOUT = 4  # the picture whose caption says nothing
NOTHING = {
    "empty": "",
    "blank": " \t ",
    "None": "None",
    "nan": "nan",
    "null": None,
    "NaN": float("nan"),
    "list": [None, "", "None"],
    "empty list": [],
}


@pytest.fixture(scope="module")
def clip():
    return tiny_clip(tokenizer=tiny_tokenizer())


def captions(nothing):
    return [nothing if k == WITHOUT else f"number {k}" for k in range(COUNT)]


def _text(value):
    """As a program that keeps text writes it."""
    return "" if value is None else str(value)


def _csv(folder, texts):
    rows = [f'{k}.png,"{_text(text)}"\n' for k, text in enumerate(texts)]
    (folder / "t.csv").write_text("path,caption\n" + "".join(rows))
    return folder / "t.csv"


def _json_lines(folder, texts):
    rows = [json.dumps({"path": f"{k}.png", "caption": text}) for k, text in enumerate(texts)]
    (folder / "t.jsonl").write_text("\n".join(rows))
    return folder / "t.jsonl"


def _parquet(inside):
    def write(folder, texts):
        pyarrow = pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
        from pyarrow import parquet

        is_list = any(isinstance(text, list) for text in texts)
        texts = [[t] if is_list and isinstance(t, str) else t for t in texts]
        texts = [None if isinstance(text, float) else text for text in texts]
        images = [png(k) if inside else f"{k}.png" for k in range(COUNT)]
        parquet.write_table(
            pyarrow.table({"image": images, "caption": texts}), folder / "t.parquet"
        )
        return folder / "t.parquet"

    return write


def _folder(folder, texts):
    for k, text in enumerate(texts):
        (folder / f"{k}.txt").write_text(_text(text))
    return folder


def _shard(in_json):
    def write(folder, texts):
        members = [(f"{k}.png", png(k)) for k in range(COUNT)]
        for k, text in enumerate(texts):
            data = json.dumps({"caption": text}) if in_json else _text(text)
            members.append((f"{k}.json" if in_json else f"{k}.txt", data.encode()))
        (folder / "shards").mkdir()
        return tar(folder / "shards" / "t.tar", members)

    return write


SOURCES = {
    "csv": _csv, "jsonl": _json_lines, "parquet": _parquet(False),
    "parquet of bytes": _parquet(True), "folder": _folder, "shard": _shard(False),
    "shard, json": _shard(True),
}  # fmt: skip
CASES = [
    (kind, name)
    for kind in SOURCES
    for name, value in NOTHING.items()
    if not isinstance(value, list)
    or kind in ("jsonl", "parquet", "parquet of bytes", "shard, json")
]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_caption_that_says_nothing_is_counted_and_named_and_never_trained_on(
    kind, name, clip, tmp_path, caplog
):
    for k in range(COUNT):
        (tmp_path / f"{k}.png").write_bytes(png(k))
    source = SOURCES[kind](tmp_path, captions(NOTHING[name]))
    pictures = open_pictures(source)
    expected = [() if k == WITHOUT else (f"number {k}",) for k in range(COUNT)]
    assert [one.captions for one in pictures] == expected
    key = pictures.keys[WITHOUT]
    if kind in ("csv", "jsonl", "parquet", "parquet of bytes"):
        ((row, why),) = pictures.left_out.reasons.items()
        line = {"csv": WITHOUT + 2, "jsonl": WITHOUT + 1}.get(kind, WITHOUT)
        assert row == f"{source}, row {line}" and why == "'caption' has no caption"
        assert f"1 left out: {row}" in caplog.text
    pairs = Pairs(pictures, clip, COUNT, shuffle=False)
    texts = [f"number {5 if k == WITHOUT else k}" for k in range(COUNT)]  # the next takes its place
    np.testing.assert_array_equal(pairs[0]["token_ids"], clip.tokenizer(texts))
    assert pairs.broken == {key: "it has no caption"} and pairs.num_broken == 1
    found, failures = caption_retrieval(clip, pictures)
    assert failures == [(key, "it has no caption")]
    assert (found.images, found.texts) == (COUNT - 1, COUNT - 1)
    embed(pictures, tmp_path / "out", format="npy", part_rows=100)
    columns = json.loads((tmp_path / "out" / "part-00000.json").read_text())
    assert columns["captions"] == list(map(list, expected))


BROKEN = {
    "no JSON": ("4.json", b'{"caption": "number 4"'),
    "no object": ("4.json", b'"number 4"'),
    "a number": ("4.json", b'{"caption": 4}'),
    "a key twice": ("4.json", b'{"caption": "number 4", "caption": "4"}'),
    "half a pair": ("4.json", b'{"caption": "\\ud800"}'),
    "another encoding": ("4.txt", "n\u00famero".encode("latin-1")),
}


@pytest.mark.parametrize("damage", BROKEN)
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_captions_of_shards_that_cannot_be_read_break_their_sample_alone(
    damage, suffix, clip, tmp_path
):
    members = [(f"{k}.png", png(k)) for k in range(COUNT)]
    members += [(f"{k}.txt", b"number %d" % k) for k in range(COUNT) if k != WITHOUT]
    mode = "w:gz" if "gz" in suffix else "w"
    pictures = open_pictures(tar(tmp_path / f"t{suffix}", [*members, BROKEN[damage]], mode))
    key = pictures.keys[WITHOUT]
    pairs = Pairs(pictures, clip, COUNT, shuffle=False)
    texts = [f"number {5 if k == WITHOUT else k}" for k in range(COUNT)]
    np.testing.assert_array_equal(pairs[0]["token_ids"], clip.tokenizer(texts))
    assert list(pairs.broken) == [key]
    assert pairs.broken[key].startswith("its captions cannot be read: ")
    found, ((name, why),) = caption_retrieval(clip, pictures)
    assert name == key and why == pairs.broken[key] and found.images == COUNT - 1
    embed(pictures, tmp_path / "out", format="npy", part_rows=100, batch_size=4)
    (part,) = json.loads((tmp_path / "out" / "manifest.json").read_text())["parts"]
    assert part["failures"] == [{"key": key, "reason": why}] and part["rows"] == COUNT - 1
    columns = json.loads((tmp_path / "out" / "part-00000.json").read_text())
    assert columns["key"] == [one for one in pictures.keys if one != key]
    assert columns["captions"] == [[f"number {k}"] for k in range(COUNT) if k != WITHOUT]


def test_a_text_beside_a_picture_in_another_encoding_breaks_it_alone(clip, tmp_path):
    for k in range(COUNT):
        (tmp_path / f"{k}.png").write_bytes(png(k))
        (tmp_path / f"{k}.txt").write_bytes(b"\xff" if k == WITHOUT else b"number %d" % k)
    pairs = Pairs(tmp_path, clip, COUNT, shuffle=False)
    assert pairs[0]["images"].shape[0] == COUNT
    assert list(pairs.broken) == ["4.png"] and "4.txt" in pairs.broken["4.png"]
