"""A job writes one row a picture, once; what fails is told; what is finished stays."""

import json

import numpy as np
import pytest
from bulk_jobs import COUNT, DIM, PROCESSOR, SETTINGS, contents, embed, embed_pixels, make_photos
from filelock import FileLock

from keras_clip import bulk
from keras_clip.data import open_pictures
from keras_clip.preprocessing import image_files

pytest.importorskip("pyarrow", reason="the extra `data` is not installed")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("photos"))


def manifest(directory):
    return json.loads((directory / "manifest.json").read_text())


@pytest.mark.parametrize("form", ["parquet", "npy"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_rows_are_the_models_in_the_order_of_the_pictures(photos, tmp_path, form, dtype):
    result = embed(photos, tmp_path / "out", format=form, dtype=dtype)
    assert (result["rows"], result["parts"], result["failures"]) == (COUNT, 4, {})
    keys, vectors = bulk.load(tmp_path / "out")
    assert keys == photos.keys and vectors.shape == (COUNT, DIM) and vectors.dtype == dtype
    expected = embed_pixels(PROCESSOR(photos.paths))
    tolerance = 1e-6 if dtype == "float32" else 1e-3
    np.testing.assert_allclose(vectors[:], expected, atol=tolerance)


def test_labels_and_captions_come_along(photos, tmp_path):
    from pyarrow import parquet

    rows = [f"{path},{k % 3},no {k}\n" for k, path in enumerate(photos.paths)]
    (tmp_path / "t.csv").write_text("path,label,text\n" + "".join(rows))
    tables = {"names": photos, "numbers": open_pictures(tmp_path / "t.csv")}
    for name, pictures in tables.items():
        embed(pictures, tmp_path / name)
        embed(pictures, tmp_path / f"{name}_npy", format="npy")
        found = parquet.read_table(tmp_path / name / "part-00001.parquet").to_pydict()
        vectors = np.load(tmp_path / f"{name}_npy" / "part-00001.npy")
        np.testing.assert_array_equal(found.pop("vector"), vectors)
        assert found == json.loads((tmp_path / f"{name}_npy" / "part-00001.json").read_text())
        expected = {"key": pictures.keys[7:14], "label": [pictures[k].label for k in range(7, 14)]}
        if pictures.captions:
            expected["captions"] = [[f"no {k}"] for k in range(7, 14)]
        assert found == expected


def test_pictures_that_cannot_be_used_are_told_and_the_run_goes_on(tmp_path, monkeypatch):
    make_photos(tmp_path / "photos", 12)
    names = sorted(str(path) for path in (tmp_path / "photos").rglob("*.png"))
    monkeypatch.setattr(image_files, "MAX_PIXELS", 9 * 22)
    with open(names[1], "r+b") as file:
        file.truncate(60)
    with open(names[2], "wb") as file:
        file.write(b"no picture")
    pictures = open_pictures([*names, str(tmp_path / "none.png")])
    result = embed(pictures, tmp_path / "out", part_rows=3)
    keys, vectors = bulk.load(tmp_path / "out")
    failures = [one for part in manifest(tmp_path / "out")["parts"] for one in part["failures"]]
    reasons = {one["key"]: one["reason"] for one in failures}
    assert reasons.pop(names[1]).startswith("damaged image data: ")
    assert reasons.pop(names[2]).startswith("not a readable image: ")
    assert (
        reasons.pop(str(tmp_path / "none.png"))
        == "cannot open the file: No such file or directory."
    )
    assert list(reasons) == [names[11]] and "9 pixels are more than the 198" in reasons[names[11]]
    assert keys == [name for name in names if name not in {*names[1:3], names[11]}]
    np.testing.assert_allclose(vectors[:], embed_pixels(PROCESSOR(keys)), atol=1e-6)
    assert result["rows"] == 9 and sum(result["failures"].values()) == 4
    assert result["failures"]["N x N pixels are more than the N allowed"] == 1


def test_a_part_of_broken_pictures_only_has_no_row(tmp_path):
    names = [str(tmp_path / f"{k}.png") for k in range(4)]
    result = embed(open_pictures(names), tmp_path / "out", part_rows=3)
    assert (result["rows"], result["parts"]) == (0, 2)
    keys, vectors = bulk.load(tmp_path / "out")
    assert keys == [] and vectors[:].shape == (0, DIM)


def test_a_finished_job_does_nothing(photos, tmp_path):
    assert not embed(photos, tmp_path)["finished_before"]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("[!.]*")}

    def never(pixels):
        raise AssertionError("computed again")

    result = embed(photos, tmp_path, never)
    assert result["finished_before"] and (result["rows"], result["done"]) == (COUNT, 0)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("[!.]*")} == before


def test_a_part_that_is_lost_is_made_again(photos, tmp_path):
    embed(photos, tmp_path)
    whole = contents(tmp_path)
    (tmp_path / "part-00002.parquet").write_bytes(b"short")
    with pytest.raises(FileNotFoundError, match=r"part-00002 is missing or not whole; run `embed`"):
        bulk.load(tmp_path, partial=False)
    assert embed(photos, tmp_path)["done"] == 7
    assert contents(tmp_path) == whole


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"model": "other", "weights": "f" * 16},
            r"model 'product' \(weights 0123456789abcdef\), now 'other' \(weights f{16}\)",
        ),
        ({"dtype": "float16"}, "dtype 'float32', now 'float16'"),
        ({"part_rows": 8, "format": "npy"}, "format 'parquet', now 'npy'; part_rows 7, now 8"),
        ({"backend": "other"}, "backend 'numpy', now 'other'"),
    ],
)
def test_another_job_in_the_directory_is_refused_with_both_names(photos, tmp_path, changes, told):
    embed(photos, tmp_path)
    whole = contents(tmp_path)
    with pytest.raises(ValueError, match=f"{tmp_path.name}: was made with {told}"):
        embed(photos, tmp_path, **changes)
    with pytest.raises(ValueError, match=r"source 'photos' \(fingerprint \w+\), now 'more' \(f"):
        embed(photos[1:], tmp_path, source="more")
    assert contents(tmp_path) == whole
    assert embed(photos, tmp_path, source="the same elsewhere")["finished_before"]


def test_a_directory_with_other_files_is_refused(photos, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"other files \(notes\.txt\) and no manifest"):
        embed(photos, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    for text in ("{", "[]", "{}"):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(ValueError, match=r"manifest\.json: not a"):
            embed(photos, tmp_path)


def test_two_runs_in_one_directory_are_refused(photos, tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(OSError, match="another run is writing"):
        embed(photos, tmp_path)
    assert embed(photos, tmp_path)["rows"] == COUNT


def test_an_unfinished_job_loads_only_when_asked(photos, tmp_path):
    calls = []

    def model(pixels):
        calls.append(len(pixels))
        if len(calls) > 3:
            raise KeyboardInterrupt
        return embed_pixels(pixels)

    with pytest.raises(KeyboardInterrupt):
        embed(photos, tmp_path, model)
    with pytest.raises(ValueError, match="1 of 4 parts are done"):
        bulk.load(tmp_path)
    keys, vectors = bulk.load(tmp_path, partial=True)
    assert keys == photos.keys[:7]
    np.testing.assert_allclose(vectors[:], embed_pixels(PROCESSOR(photos.paths[:7])), atol=1e-6)
    assert embed(photos, tmp_path)["done"] == COUNT - 7
    with pytest.raises(FileNotFoundError, match="no manifest"):
        bulk.load(tmp_path / "none")


def test_a_plan_writes_nothing(photos, tmp_path):
    settings = bulk.Settings(**SETTINGS)
    plan = bulk.plan(PROCESSOR, photos, tmp_path / "out", settings)
    assert plan["new"] and not (tmp_path / "out").exists()
    assert (plan["pictures"], plan["parts"], plan["bytes"]) == (COUNT, 4, COUNT * DIM * 4)
    embed(photos, tmp_path / "out")
    plan = bulk.plan(PROCESSOR, photos, tmp_path / "out", settings)
    assert plan["finished"] and plan["parts_done"] == 4 and not plan["new"]
    half = bulk.Settings(**{**SETTINGS, "dtype": "float16"})
    assert bulk.plan(PROCESSOR, photos, tmp_path / "new", half)["bytes"] == COUNT * DIM * 2
    with pytest.raises(ValueError, match="dtype"):
        bulk.plan(PROCESSOR, photos, tmp_path / "out", half)


def test_vectors_are_indexed_like_an_array(photos, tmp_path):
    embed(photos, tmp_path, format="npy")
    _, vectors = bulk.load(tmp_path)
    whole = np.asarray(vectors)
    assert whole.shape == vectors.shape == (len(vectors), DIM)
    random = np.random.default_rng(0)
    for index in (
        3, -1, slice(5, 16), slice(None, None, -2), [22, 0, 7, 7], random.integers(0, COUNT, 40),
        random.random(COUNT) > 0.5, slice(4, 4),
    ):  # fmt: skip
        np.testing.assert_array_equal(vectors[index], whole[index])
    with pytest.raises(IndexError):
        vectors[COUNT]
    parts = list(vectors.parts())
    assert all(isinstance(part, np.memmap) for part in parts)
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_settings_are_checked():
    for wrong in ({"dtype": "int8"}, {"format": "csv"}, {"batch_size": 0}, {"part_rows": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            bulk.Settings(**{**SETTINGS, **wrong})


def test_vectors_of_another_shape_are_an_error(photos, tmp_path):
    with pytest.raises(ValueError, match=r"vectors of \(3, 5\), not \(3, 6\)"):
        embed(photos, tmp_path, lambda pixels: embed_pixels(pixels)[:, :5])
