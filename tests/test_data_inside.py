"""Pictures inside of packed shards and parquet files: any of them, in bounded memory."""

import gzip
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from picture_sources import png

from keras_clip.data import cells, open_pictures
from keras_clip.data.unpacked import unpacked
from keras_clip.preprocessing.image_files import ImageError


def test_any_bytes_of_what_gzip_has_packed(tmp_path):
    random = np.random.default_rng(0)
    plain = random.bytes(5_000_000) + bytes(3_000_000) + b"text " * 100_000 + random.bytes(99)
    path = tmp_path / "x.gz"
    parts = (plain[:4_000_000], b"", plain[4_000_000:])
    path.write_bytes(b"".join(gzip.compress(part, 1) for part in parts) + bytes(64))
    found = unpacked(str(path))
    assert found is unpacked(str(path)) and found.size == len(plain) and len(found._marks) > 3
    places = [(0, 10), (len(plain) - 99, 99), (3_999_990, 20), *random.integers(0, 2**17, (40, 2))]
    places += [(int(random.integers(0, 8_000_000)), 70_000) for _ in range(20)]
    with ThreadPoolExecutor(4) as pool:
        for (start, size), data in zip(
            places, pool.map(lambda one: found.read(*map(int, one)), places), strict=True
        ):
            assert data == plain[start : start + size]
    path.write_bytes(gzip.compress(b"another"))
    assert unpacked(str(path)).read(0, 7) == b"another"


@pytest.fixture
def table(tmp_path):
    """A parquet file of 40 pictures in 10 row groups, one of them null."""
    pyarrow = pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
    from pyarrow import parquet

    images = [{"bytes": None if k == 17 else png(k), "path": "x"} for k in range(40)]
    made = pyarrow.table({"image": images, "label": [k % 3 for k in range(40)]})
    parquet.write_table(made, tmp_path / "t.parquet", row_group_size=4)
    return tmp_path / "t.parquet"


def test_row_groups_are_read_once_a_time_and_let_go_of(table, monkeypatch):
    read, groups = [], cells._Groups()
    original = cells._read_group
    monkeypatch.setattr(cells, "_read_group", lambda *key: read.append(key[-1]) or original(*key))
    monkeypatch.setattr(cells, "_groups", groups)
    pictures = open_pictures(table)
    assert not read  # nothing is read before it is asked for
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(pictures.read, [0, 1, 2, 3, 8, 9, 3]))
    assert sorted(read) == [0, 2] and found == [png(k) for k in (0, 1, 2, 3, 8, 9, 3)]
    size = sum(len(png(k)) for k in range(4))
    monkeypatch.setattr(cells, "_KEPT", 2 * size)
    rows = np.random.default_rng(0).permutation(40)
    for row in rows[rows != 17]:
        assert pictures.read(int(row)) == png(row)
        assert groups._bytes <= 3 * size and len(groups._found) <= 3
    with pytest.raises(ImageError, match=r"t\.parquet: the row has no picture"):
        pictures.read(17)
    assert pictures.stats()[0].tolist() == [-1 if k == 17 else len(png(k)) for k in range(40)]


def test_row_groups_that_would_fill_the_memory_are_refused(table, monkeypatch):
    monkeypatch.setattr(cells, "_LARGEST", 500)
    with pytest.raises(ValueError, match=r"t\.parquet: a row group has [\d,]+ bytes of pictures"):
        open_pictures(table)


def test_a_table_that_is_gone_or_another_one_is_told(table):
    from pyarrow import parquet

    pictures = open_pictures(table)
    shorter = parquet.read_table(table).slice(0, 3)
    parquet.write_table(shorter, table)
    assert pictures.read(2) == png(2)
    with pytest.raises(ImageError, match=r"t\.parquet: cannot read the table"):
        pictures.read(30)
    table.unlink()
    with pytest.raises(ImageError, match=r"t\.parquet: cannot read the table: .*No such file"):
        pictures.read(1)


def test_several_tables_are_one_source(tmp_path):
    for name, rows in (("a/1", "x.png,2"), ("a/2", "y.png,0"), ("b/1", "x.png,1")):
        place = tmp_path / f"{name}.csv"
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"path,label\n{rows}\n")
    pictures = open_pictures(tmp_path / "{b,a}" / "*.csv")
    assert pictures.keys == ["b/x.png", "a/x.png", "a/y.png"]
    assert pictures.paths == [str(tmp_path / key) for key in pictures.keys]
    assert pictures.labels.tolist() == [1, 2, 0]
    (tmp_path / "b" / "2.csv").write_text("path,text\nz.png,a\n")
    with pytest.raises(ValueError, match=r"2\.csv: no column 'label'; there are \['path', 'te"):
        open_pictures(tmp_path / "b" / "*.csv")
    with pytest.raises(ValueError, match=r"1\.csv: the file is in the list twice"):
        open_pictures([tmp_path / "b" / "1.csv", tmp_path / "b" / "1.csv"])
    with pytest.raises(ValueError, match="one kind"):
        open_pictures([tmp_path / "b" / "1.csv", "x.png"])


@pytest.mark.parametrize("name", ["x.json", "x.zip", "x.csv.gz", "x.arrow", "x.heic", "x"])
def test_a_file_of_no_known_kind_is_no_picture(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\3\4 whatever it is")
    with pytest.raises(ValueError, match=r"neither a picture nor one of \.csv, .*\.tgz"):
        open_pictures(tmp_path / name)
    (tmp_path / name).write_bytes(png(1))  # a picture all the same
    assert open_pictures(tmp_path / name).paths == [str(tmp_path / name)]


def test_columns_are_refused_where_there_are_none(tmp_path):
    (tmp_path / "1.png").write_bytes(png(1))
    pictures = open_pictures(tmp_path)
    for source in (tmp_path, tmp_path / "1.png", [tmp_path / "1.png"], pictures):
        with pytest.raises(ValueError, match="leave them out"):
            open_pictures(source, {"label": "class"})
        assert len(open_pictures(source, {})) == 1


def test_several_columns_of_captions(tmp_path):
    (tmp_path / "t.csv").write_text("path,caption_0,caption_1\na.png,one,two\nb.png,three,\n")
    columns = {"caption": ["caption_1", "caption_0"]}
    pictures = open_pictures(tmp_path / "t.csv", columns)
    assert [one.captions for one in pictures] == [("two", "one"), ("three",)]
    assert pictures.left_out.reasons == {
        f"{tmp_path / 't.csv'}, row 3": "'caption_1' has no caption"
    }
