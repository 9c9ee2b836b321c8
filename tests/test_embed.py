"""`keras-clip embed`: one file as before, or a directory; what it prints, and wrong use."""

import json

import numpy as np
import pytest
from bulk_jobs import contents
from PIL import Image

from keras_clip import bulk

pytest_plugins = ["command_line"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for name in ("b.png", "a.JPG", "more/c.webp"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 50, 3), "uint8")).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ("-o", "x.npy"),
        ("a.png", "--texts", "a", "-o", "x.npy"),
        ("--texts", "a", "-o", "directory"),
        ("a.png", "-o", "x.npy", "--dry-run"),
        ("a.png", "-o", "x.npy", "--part-rows", "5"),
        ("a.png", "-o", "x.npy", "--engine", "ray"),
        ("a.png", "-o", "directory", "--ray-workers", "2"),
        ("a.png", "-o", "directory", "--dtype", "int8"),
    ],
)
def test_wrong_use_is_exit_code_2(run, arguments):
    code, out, err = run("embed", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("usage: keras-clip embed") and "error: " in err.splitlines()[-1]


def test_one_file_of_pictures_or_texts(run, clip_preset, photos, tmp_path):
    import keras_clip

    output = tmp_path / "deep" / "vectors.npy"
    code, out, _ = run("embed", photos, "-o", output, "--preset", clip_preset, "--json")
    assert code == 0
    vectors, rows = np.load(output), json.loads(out)["rows"]
    assert rows == [str(photos / name) for name in ("a.JPG", "b.png", "more/c.webp")]
    assert vectors.shape == (3, 16) and vectors.dtype == np.float32
    clip = keras_clip.from_preset(clip_preset)
    np.testing.assert_allclose(vectors, clip.embed_images(rows), atol=1e-6)
    code, out, _ = run(
        "embed", "--texts", "a cat", "dogs", "-o", output, "--preset", clip_preset,
        "--dtype", "float16",
    )  # fmt: skip
    assert code == 0 and "2 vectors of 16" in " ".join(out.split())
    expected = clip.embed_texts(["a cat", "dogs"]).astype("float16")
    np.testing.assert_array_equal(np.load(output), expected)
    assert [path.name for path in output.parent.iterdir()] == ["vectors.npy"]


def test_one_file_is_not_written_where_a_picture_is_broken(run, clip_preset, photos, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG but no more")
    code, out, err = run(
        "embed", photos, broken, "-o", tmp_path / "x.npy", "--preset", clip_preset
    )  # fmt: skip
    assert (code, out) == (1, "")
    assert err.count("\n") == 1 and f"error: {broken}: not a readable image" in err
    assert not (tmp_path / "x.npy").exists()


def test_a_directory_is_planned_made_and_left_alone(run, clip_preset, photos, tmp_path):
    pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
    import keras_clip

    output = tmp_path / "vectors"
    call = ("embed", photos, "-o", output, "--preset", clip_preset, "--part-rows", 2)
    code, out, _ = run(*call, "--dry-run")
    assert code == 0 and not output.exists()
    assert "a new directory 3 pictures in 2 parts, 192 bytes" in " ".join(out.split())
    code, out, _ = run(*call)
    assert code == 0 and "3 vectors in 2 parts" in out and "a second" in out
    keys, vectors = bulk.load(output)
    assert keys == ["a.JPG", "b.png", "more/c.webp"]
    clip = keras_clip.from_preset(clip_preset)
    expected = clip.embed_images([str(photos / key) for key in keys])
    np.testing.assert_allclose(vectors[:], expected, atol=1e-6)
    whole = contents(output)
    code, out, _ = run(*call)
    assert code == 0 and "finished before, nothing to do" in out
    assert json.loads(run(*call, "--dry-run", "--json")[1])["finished"]
    code, out, err = run(*call, "--dtype", "float16")
    assert (code, out) == (1, "") and "dtype 'float32', now 'float16'" in err
    assert contents(output) == whole


def test_a_table_with_broken_pictures_is_counted(run, clip_preset, photos, tmp_path):
    rows = ["id,where,kind", f"1,{photos / 'b.png'},x", "2,none.png,y", "3,nothing.png,x"]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    code, out, err = run(
        "embed", tmp_path / "t.csv", "-o", tmp_path / "out", "--preset", clip_preset,
        "--image-column", "where", "--label-column", "kind", "--format", "npy", "--workers", 1,
    )  # fmt: skip
    assert (code, err) == (0, "")
    told = " ".join(out.split())
    assert "1 vectors in 1 parts" in told and "not embedded, 2 (see manifest.json)" in told
    assert "2 cannot open the file" in told
    (part,) = json.loads((tmp_path / "out" / "manifest.json").read_text())["parts"]
    assert [one["key"] for one in part["failures"]] == ["none.png", "nothing.png"]
    columns = json.loads((tmp_path / "out" / "part-00000.json").read_text())
    assert columns == {"key": [str(photos / "b.png")], "label": ["x"]}


def test_no_picture_and_no_tower_are_told(run, clip_preset, vit_preset, photos, tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments, told in (
        ((tmp_path / "empty", "--preset", clip_preset), "empty: no picture in this directory"),
        ((tmp_path / "none", "--preset", clip_preset), "none: there is no such"),
        ((photos, "--preset", vit_preset), "a CLIP has"),
    ):
        code, out, err = run("embed", *arguments, "-o", tmp_path / "out")
        assert (code, out) == (1, "") and told in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()
