"""The commands `index`, `search` and `duplicates`, with the bundled model."""

import json

import pytest
import search_pictures as made
from PIL import Image

from keras_clip.catalogue import BUNDLED_PRESET, zoo_directory
from keras_clip.search import Index, combine

pytest.importorskip("lancedb")
pytest_plugins = ["command_line"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo's pictures, indexed by the command line with the bundled model."""
    from keras_clip import cli

    place = tmp_path_factory.mktemp("demo") / "index"
    folder = zoo_directory() / "demo"
    arguments = ["index", str(folder), "-o", str(place), "--preset", BUNDLED_PRESET]
    assert cli.main(arguments) == 0
    return str(place)


def hits_of(run, *arguments):
    code, out, err = run("search", *arguments, "--json")
    assert code == 0, err
    return json.loads(out)["hits"]


def test_the_command_line_finds_pictures_by_text_and_by_picture(run, demo):
    import keras_clip

    clip, folder = keras_clip.from_preset(BUNDLED_PRESET), zoo_directory() / "demo"
    hits = hits_of(run, demo, "a red arrow", "-k", 2)
    assert hits[0]["path"] == "red_arrow.png" and len(hits) == 2
    query = clip.embed_texts(["a red arrow"])[0]
    picture = clip.embed_images([folder / "red_arrow.png"])[0]
    assert hits[0]["cosine"] == pytest.approx(query @ picture, abs=1e-5)
    assert hits[0]["file"] == str(folder / "red_arrow.png") and hits[0]["width"] == 128
    (hit,) = hits_of(run, demo, "--image", folder / "scene_2.png", "-k", 1)
    assert hit["path"] == "scene_2.png" and hit["cosine"] == pytest.approx(1, abs=1e-5)
    arguments = ("a blue star", "--image", folder / "red_arrow.png", "--minus", "a digit")
    (hit, *_) = hits_of(run, demo, *arguments, "--weights", "0.1,1,0.1")
    parts = [clip.embed_texts(["a blue star"])[0], picture, clip.embed_texts(["a digit"])[0]]
    assert hit["path"] == "red_arrow.png"
    expected = combine(parts, [0.1, 1, -0.1]) @ picture
    assert hit["cosine"] == pytest.approx(expected, abs=1e-5)


def test_the_command_line_prints_draws_and_writes_a_page(run, demo, tmp_path):
    plot, page = tmp_path / "plots" / "grid.png", tmp_path / "pages" / "page.html"
    code, out, _ = run("search", demo, "<b>a red arrow", "-k", 99, "--plot", plot, "--html", page)
    assert code == 0 and "red_arrow.png" in out and "18 pictures fit, of 18" in out
    with Image.open(plot) as drawn:
        assert min(drawn.size) > 100
    text = page.read_text("utf-8")
    assert text.count("data:image/jpeg;base64,") == 18 and "&lt;b&gt;a red arrow" in text
    assert "<script" not in text and "<b>a red" not in text and "http" not in text
    code, out, _ = run("search", demo, "a red arrow", "--where", "path like 'digit%'", "-k", 99)
    assert code == 0 and "6 pictures fit, of 18" in out and "red_arrow" not in out


def test_a_page_names_pictures_that_are_gone_and_escapes_their_names(tmp_path):
    from keras_clip.search.page import page

    hit = {"path": "<a&b>.png", "cosine": 0.5, "size": 1, "width": 2, "height": 3}
    text = page([{**hit, "file": str(tmp_path / "gone.png")}], "x")
    assert "&lt;a&amp;b&gt;.png" in text and "no longer there" in text and "<a&" not in text


def test_the_command_line_s_errors_say_what_to_do(run, demo, clip_preset, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    Index.create(tmp_path / "none", made.MODEL)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"x")
    cases = [
        (("index", empty, "-o", tmp_path / "i", "--preset", BUNDLED_PRESET), "no picture"),
        (("index", zoo_directory() / "demo", "-o", demo, "--preset", clip_preset), clip_preset),
        (("search", tmp_path / "nowhere", "x"), "keras-clip index"),
        (("search", tmp_path / "none", "x"), "no picture yet"),
        (("search", demo, "x", "--preset", clip_preset), clip_preset),
        (("search", demo, "x", "--preset", clip_preset), BUNDLED_PRESET),
        (("search", demo, "x", "--weights", "1,2"), "2 weights"),
        (("search", demo, "x", "--where", "size >"), "size >"),
        (("search", demo, "x", "--minus", "x"), "cancel"),
        (("search", demo, "x", "--plot", "grid.doc"), "grid.doc"),
        (("search", demo, "--image", broken), "broken.png"),
        (("search", demo, "x", "--where", "size < 0", "--plot", tmp_path / "a.png"), "No picture"),
    ]
    for arguments, told in cases:
        code, out, err = run(*arguments)
        assert (code, out) == (1, ""), arguments
        assert told in err and "Traceback" not in err and err.startswith("keras-clip: error: ")
    assert not (tmp_path / "i").exists()


def test_the_command_line_updates_and_tells_what_changed(run, tmp_path):
    photos, place = made.folder(tmp_path / "photos", 4), tmp_path / "index"
    (photos / "[bad].png").write_bytes(b"x")
    command = ("index", photos, "-o", place)
    code, out, _ = run(*command, "--preset", BUNDLED_PRESET, "--dry-run")
    out = " ".join(out.split())
    assert code == 0 and "5 added" in out and "nothing written" in out and not place.exists()
    code, out, _ = run(*command, "--preset", BUNDLED_PRESET)
    out = " ".join(out.split())
    assert code == 0 and "5 added" in out and "4 pictures to search" in out
    assert "[bad].png" in out and "image" in out
    (photos / "[bad].png").unlink()
    code, out, _ = run(*command, "--json")
    result = json.loads(out)
    assert (result["removed"], result["unchanged"], result["broken"]) == (1, 4, [])
    assert result["model"] == BUNDLED_PRESET


@pytest.mark.parametrize("command", ["index", "search", "duplicates"])
def test_help_has_an_example(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0 and f"keras-clip {command}" in out.partition("examples:")[2]


@pytest.mark.parametrize(
    "arguments",
    [("index", "x"), ("search", "x"), ("search", "x", "y", "-k", "0"),
     ("search", "x", "y", "--weights", "a"), ("duplicates", "x", "--above", "high")],
)  # fmt: skip
def test_wrong_use_is_exit_code_2(run, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "") and "error: " in err


def test_duplicates_are_grouped_by_the_command_line(run, tmp_path):
    photos = made.folder(tmp_path / "photos", 3)
    for copy in ("a.png", "b.png"):
        (photos / copy).write_bytes((photos / "it's 001.png").read_bytes())
    place = tmp_path / "index"
    assert run("index", photos, "-o", place, "--preset", BUNDLED_PRESET)[0] == 0
    result = json.loads(run("duplicates", place, "--above", "0.99999", "--json")[1])
    (group,) = result["groups"]
    assert [hit["path"] for hit in group] == ["a.png", "b.png", "it's 001.png"]
    assert group[0]["file"] == str(photos / "a.png")
    code, out, _ = run("duplicates", place, "--above", "0.99999")
    assert code == 0 and "1 groups of 5 pictures" in out and "2 pictures beside" in out
    code, _, err = run("duplicates", place, "--above", "7")
    assert code == 1 and "between -1 and 1, not 7" in err
