"""Damaged tables and shards are refused by row or member: no row is lost, merged or invented."""

import csv
import io
import json

import numpy as np
import pytest
from picture_sources import SOURCES, items, png, tar

from keras_clip.data import open_pictures

DELIMITERS = {".csv": ",", ".tsv": "\t"}
ROWS = 100


def lines(delimiter):
    """A hundred rows, the header included in front."""
    rows = [["path", "label", "caption"]]
    rows += [[f"{k}.png", "cat", f"number {k}"] for k in range(ROWS)]
    return [delimiter.join(row) for row in rows]


# {what is done to line 3 (`|` stands for the delimiter): what is told}
ROW_DAMAGE = {
    '1.png|cat|"never closed': r"row 3: a quote is opened and never closed",
    '"1.png|cat|x': r"row 3: a quote is opened and never closed",
    '1.png|cat|"closed" too early': r"row 3: .*expected after",
    "1.png|cat": r"row 3: 2 values for 3 columns",
    "1.png|cat|a|b": r"row 3: 4 values for 3 columns",
    "|cat|x": r"row 3: 'path' is empty",
    "1.png||x": r"row 3: 'label' is empty",
    "1.png| |x": r"row 3: 'label' is empty",
    "1.png|nan|x": r"row 3: 'label' is empty",
    "1.png|cat|a\0b": r"row 3: it has a NUL character",
    "1\0.png|cat|ab": r"row 3: it has a NUL character",
    "https://x.org/1.png|cat|ab": r"row 3: https://x\.org/1\.png is a URL",
    "1.png|cat|\udcff": r"row .*utf-8",
}


@pytest.mark.parametrize("suffix", DELIMITERS)
@pytest.mark.parametrize("damaged", ROW_DAMAGE)
def test_a_damaged_row_of_text_is_named(tmp_path, suffix, damaged):
    for delimiter in {DELIMITERS[suffix], ";"}:
        rows = lines(delimiter)
        path = tmp_path / f"t{suffix}"
        path.write_bytes("\n".join(rows).encode())
        assert len(open_pictures(path)) == ROWS
        rows[2] = damaged.replace("|", delimiter)
        path.write_bytes("\n".join(rows).encode("utf-8", "surrogateescape"))
        with pytest.raises(ValueError, match=rf"t\{suffix}, {ROW_DAMAGE[damaged]}"):
            open_pictures(path)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("path,caption,caption", r"2 columns 'caption'"),
        ("path,label,label", r"2 columns 'label'"),
        ('path,"label,caption', r"row 1: a quote is opened and never closed"),
        (
            "where,label,caption",
            r"no column of pictures; there are \['where', 'label', 'caption'\]",
        ),
        (
            "where;label;caption",
            r"no column of pictures; there are \['where', 'label', 'caption'\]",
        ),
    ],
)
def test_a_header_that_is_not_clear_is_told(tmp_path, header, told):
    (tmp_path / "t.csv").write_text(f"{header}\na.png,cat,one\n")
    with pytest.raises(ValueError, match=rf"t\.csv.*{told}"):
        open_pictures(tmp_path / "t.csv")


def test_what_is_legal_in_text_is_read(tmp_path):
    file = io.StringIO()
    texts = ['a "b"', "two\nlines", "\r\n", ",;\t", " spaces ", "'", '"']
    csv.writer(file).writerows([["path", "caption"], *((f"{k}", t) for k, t in enumerate(texts))])
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + file.getvalue().encode() + b"\n\n")
    pictures = open_pictures(tmp_path / "t.csv")
    assert [one.captions for one in pictures] == [(t,) if t.strip() else () for t in texts]
    assert [*pictures.left_out.reasons.values()] == ["'caption' has no caption"]
    # Other columns are nobody's business.
    (tmp_path / "t.csv").write_text("path;x;x;caption, long\na.png;1;2;one, two\n")
    columns = {"caption": "caption, long"}
    assert open_pictures(tmp_path / "t.csv", columns)[0].captions == ("one, two",)


GOOD = '{"path": "1.png", "label": 1, "caption": "one"}'
OBJECT_DAMAGE = {
    '{"path": "2.png", "label": 1': r"row 2: no object in JSON",
    '["2.png", 1, "two"]': r"row 2: no object in JSON: an object is expected, not list",
    "[" * 99_999: r"row 2: no object in JSON",
    '{"path": "2.png", "label": 1, "label": 2}': r"row 2: .*the key 'label' comes twice",
    '{"path": null, "label": 1}': r"row 2: 'path' is empty",
    '{"label": 1}': r"row 2: 'path' is empty",
    '{"path": 2, "label": 1}': r"row 2: 'path' is int, no path of a picture",
    '{"path": "a\\u0000b", "label": 1}': r"row 2: 'path' has a NUL character",
    '{"path": "2.png"}': r"row 2: 'label' is empty",
    '{"path": "2.png", "label": NaN}': r"row 2: 'label' is empty",
    '{"path": "2.png", "label": [1]}': r"row 2: 'label': a label is text or a number, not list",
    '{"path": "2.png", "label": 1, "caption": 5}': r"row 2: 'caption': a caption is text, not 5",
    '{"path": "2.png", "label": 1, "caption": ["a", {}]}': r"row 2: 'caption': a caption is text",
    '{"path": "2.png", "label": 1, "caption": "\\ud800"}': r"row 2: 'caption': .*surrogates",
}


@pytest.mark.parametrize("damaged", OBJECT_DAMAGE, ids=lambda text: text[:50])
def test_a_damaged_row_of_json_is_named(tmp_path, damaged):
    (tmp_path / "t.ndjson").write_text(f"{GOOD}\n{damaged}\n{GOOD.replace('1.', '3.')}\n")
    with pytest.raises(ValueError, match=rf"t\.ndjson, {OBJECT_DAMAGE[damaged]}"):
        open_pictures(tmp_path / "t.ndjson")


CELL_DAMAGE = {
    "a path is null": ({"path": ["a.png", None]}, r"row 1: 'path' is empty"),
    "paths are numbers": ({"path": [1, 2]}, r"row 0: 'path' is int, no path"),
    "a label is null": ({"path": ["a", "b"], "label": [1, None]}, r"row 1: 'label' is empty"),
    "labels are NaN": ({"path": ["a"], "label": [float("nan")]}, r"row 0: 'label' is empty"),
    "labels are lists": ({"path": ["a"], "label": [[1]]}, r"row 0: 'label': a label is text"),
    "captions are numbers": ({"path": ["a"], "caption": [5]}, r"row 0: 'caption': a caption is t"),
    "captions are bytes": ({"path": ["a"], "caption": [b"x"]}, r"row 0: 'caption': a caption is"),
    "pictures are a list": ({"image": [[b"x"]]}, r"row 0: 'image' is list, no path"),
    "there is no row": ({"path": []}, r"the table has no row"),
}


@pytest.mark.parametrize("damage", CELL_DAMAGE)
def test_a_damaged_cell_of_parquet_is_named(tmp_path, damage):
    pyarrow = pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
    from pyarrow import parquet

    columns, told = CELL_DAMAGE[damage]
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=rf"t\.parquet.*{told}"):
        open_pictures(tmp_path / "t.parquet")


MEMBER_DAMAGE = {
    "two pictures": ({"1.jpg": b""}, r"key '1': 2 pictures in one sample, \['png', 'jpg'\]; say w"),
    "a member twice": ({"1.PNG": b""}, r"the key '1\.PNG' comes a second time"),
    "keys with dots": ({"3.left.png": b"", "3.right.png": b""}, r"key '3': 2 pictures in one samp"),
    "an empty label": ({"3.cls": b"\n", "3.png": b""}, r"key '3': its \.cls cannot be read: it is"),
    "no label": ({"3.png": b""}, r"key '3': it has no \.cls, and other samples have one"),
}


@pytest.mark.parametrize("damage", MEMBER_DAMAGE)
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_a_damaged_sample_of_a_shard_is_named(tmp_path, damage, suffix):
    more, told = MEMBER_DAMAGE[damage]
    members = {"1.png": png(1), "1.cls": b"0", "2.cls": b"1", "2.png": png(2), **more}
    path = tar(tmp_path / f"x{suffix}", members.items(), "w:gz" if "gz" in suffix else "w")
    with pytest.raises(ValueError, match=rf"x\{suffix}.*{told}"):
        open_pictures(path)


def test_packed_shards_that_are_cut_or_damaged_are_told(tmp_path):
    members = [(f"{k}.png", png(k)) for k in range(9)]
    path = tar(tmp_path / "x.tgz", members, "w:gz")
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    cuts = [whole[:length] for length in range(1, len(whole), 97)]
    for damaged in (*cuts, bytes(flipped), b"", whole + b"garbage"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"x\.tgz: the tar file is cut short or damaged"):
            open_pictures(path)
    path.write_bytes(whole + bytes(300))
    assert [one.read() for one in open_pictures(path)] == [data for _, data in members]


@pytest.mark.parametrize("kind", [one for one in SOURCES if one != "folder"])
def test_files_changed_at_random_give_pictures_or_an_error_that_names_them(tmp_path, kind):
    if "parquet" in kind:
        pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
    source, columns = SOURCES[kind][0](tmp_path, items())
    known = len(open_pictures(source, columns))
    path = next(one for one in sorted(tmp_path.iterdir()) if one.suffix != ".png")
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for _ in range(100):
        changed = bytearray(whole)
        for place in random.integers(0, len(whole), random.integers(1, 4)):
            changed[place] = random.integers(0, 256)
        path.write_bytes(changed[: random.integers(1, len(whole) + 1)] if random.random() < 0.3
                         else changed)  # fmt: skip
        try:
            pictures = open_pictures(source, columns)
        except ValueError as error:
            assert str(tmp_path) in str(error)
            continue
        assert len(pictures) <= known + 2  # a comma or a quote may have become a line's end
        for row in range(len(pictures)):
            try:
                pictures[row].read()
            except ValueError as error:
                assert str(error) == "no regular file." or path.name in str(error)
    path.write_bytes(whole)
    assert len(open_pictures(source, columns)) == known


def test_json_that_names_nothing_is_told(tmp_path):
    members = [("1.png", png(1)), ("1.json", json.dumps({"title": "x", "kind": 3}).encode())]
    path = tar(tmp_path / "x.tar", members)
    for columns, told in (
        ({"caption": "text"}, r"member \.text, or 'text' in its \.json; there are \['kind', 'titl"),
        ({"label": "cls"}, r"no sample has a member \.cls, or 'cls' in its \.json"),
        ({"image": "jpg"}, r"no sample has a member \.jpg"),
        ({"label": ""}, r"label is the name of a column, not ''"),
        ({"image": ["png", "jpg"]}, r"image is the name of a column"),
    ):
        with pytest.raises(ValueError, match=told):
            open_pictures(path, columns)
    assert open_pictures(path, {"label": "kind"}).labels.tolist() == [3]
