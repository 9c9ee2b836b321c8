"""Tables of pictures: columns, labels, captions, and what is wrong with a row."""

import pytest

from keras_clip.data import open_pictures

ROWS = "path,class,text\na.png,dog,one dog\nsub/b.png,cat,\n"


def table(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_common_columns_are_found(tmp_path):
    pictures = open_pictures(table(tmp_path, ROWS))
    assert pictures.keys == ["a.png", "sub/b.png"]
    assert pictures.paths == [str(tmp_path / "a.png"), str(tmp_path / "sub" / "b.png")]
    assert pictures.class_names == ["cat", "dog"] and pictures.labels.tolist() == [1, 0]
    assert [one.captions for one in (pictures[0], pictures[1])] == [("one dog",), ()]


def test_columns_are_named(tmp_path):
    text = "id\tFile name\tkind\tpath\n1\tü.png\t7\tx\n2\t/b.png\t3\ty\n"
    path = table(tmp_path, text, "t.tsv")
    pictures = open_pictures(path, {"image": "File name", "label": "kind"})
    assert pictures.keys == ["ü.png", "/b.png"] and pictures.paths[1] == "/b.png"
    assert pictures.class_names is None and pictures.labels.tolist() == [7, 3]
    assert pictures[0].label == 7
    with pytest.raises(ValueError, match=r"t\.tsv: no column 'x'; there are \['id', 'File name'"):
        open_pictures(path, {"image": "x"})
    with pytest.raises(ValueError, match="'caption'"):
        open_pictures(path, {"picture": "path"})


def test_several_captions_of_one_picture(tmp_path):
    rows = "filepath,title\na.png,first\nb.png,other\na.png,second ü\n"
    pictures = open_pictures(table(tmp_path, rows))
    assert pictures.keys == ["a.png", "b.png"]
    assert pictures[0].captions == ("first", "second ü") and pictures[1].captions == ("other",)
    assert pictures.select([1, 0])[1].captions == ("first", "second ü")
    assert pictures.fingerprint != pictures.select([1, 0]).fingerprint


def test_a_changed_caption_or_label_changes_the_fingerprint(tmp_path):
    known = {
        open_pictures(table(tmp_path, text)).fingerprint
        for text in (ROWS, ROWS.replace("one dog", "two dog"), ROWS.replace("cat", "fox"), ROWS)
    }
    assert len(known) == 3


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
    from pyarrow import parquet

    columns = {"image": ["a.png", "b.png"], "label": [4, 2], "caption": [["x", "y"], None]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    pictures = open_pictures(tmp_path / "t.parquet")
    assert pictures.keys == columns["image"] and pictures.labels.tolist() == [4, 2]
    assert [one.captions for one in (pictures[0], pictures[1])] == [("x", "y"), ()]
    with pytest.raises(ValueError, match="'none'; there are"):
        open_pictures(tmp_path / "t.parquet", {"label": "none"})
    parquet.write_table(pyarrow.table({"image": ["a.png", None]}), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="row 1: 'image' is empty"):
        open_pictures(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"t\.parquet: not a readable parquet file"):
        open_pictures(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"no column of pictures; there are \[\]"),
        ("a,b\n1,2\n", r"no column of pictures; there are \['a', 'b'\]"),
        ("path\n", "has no row"),
        ("path,label\na.png,\n", r"row 2: 'label' is empty"),
        ("path,label\n,cat\n", r"row 2: 'path' is empty"),
        ("path,label\na.png,cat\nb.png\n", r"row 3: 1 values for 2 columns"),
        ("path\na.png\nb.png\na.png\n", r"row 4: the picture 'a.png' comes a second time"),
        ("path,label,text\na,x,1\na,y,2\n", r"row 3: the picture 'a' came with another label"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(tmp_path, text, told):
    with pytest.raises(ValueError, match=rf"t\.csv.*{told}"):
        open_pictures(table(tmp_path, text))


def test_a_table_in_another_encoding_is_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("path\nü.png\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"t\.csv, row .*utf-8"):
        open_pictures(path)
