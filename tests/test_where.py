"""`keras-clip where`: its numbers, its picture, its errors; and what `app` is told."""

import json

import numpy as np
import pytest
from PIL import Image

pytest_plugins = ["command_line"]


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "wide.png"
    pixels = np.random.default_rng(0).integers(0, 256, (32, 64, 3), "uint8")
    Image.fromarray(pixels).save(path)
    return path


def test_where_prints_the_grid_and_the_peak_in_the_pictures_pixels(run, clip_preset, photo):
    from keras_clip import from_preset
    from keras_clip.models.dense_similarity import dense_similarity

    code, out, _ = run("where", photo, "a cat", "dogs", "--preset", clip_preset, "--json")
    assert code == 0
    result = json.loads(out)
    assert result["grid"] == [4, 4] and result["box"] == [16, 0, 48, 32]  # the middle of 64 x 32
    clip = from_preset(clip_preset)
    vectors = clip.embed_texts(["a cat", "dogs"])
    expected = dense_similarity(clip, clip.image_processor([photo]), vectors)[0]
    for number, found in enumerate(result["texts"]):
        np.testing.assert_allclose(found["cosines"], expected[..., number], atol=1e-5)
        row, column = np.unravel_index(expected[..., number].argmax(), (4, 4))
        assert found["peak"] == [16 + 8 * column + 4, 8 * row + 4]
        assert found["cosine"] == pytest.approx(expected[..., number].max(), abs=1e-5)


def test_where_shows_a_table_and_draws(run, clip_preset, photo, tmp_path):
    plot = tmp_path / "plots" / "where.png"
    code, out, _ = run(
        "where", photo, "[red] cat", "--preset", clip_preset, "--image-size", 48, "--plot", plot
    )
    assert code == 0 and "[red] cat" in out and "██" in out
    with Image.open(plot) as drawn:
        assert min(drawn.size) > 100
    assert [path.name for path in plot.parent.iterdir()] == ["where.png"]


def test_errors_name_what_is_wrong(run, clip_preset, vit_preset, photo, tmp_path):
    cases = [
        ((tmp_path / "none.png", "a", "--preset", clip_preset), "none.png"),
        ((photo, "a", "--preset", vit_preset), "is no CLIP"),
        ((photo, "a", "--preset", clip_preset, "--plot", tmp_path / "a.xyz"), "ends in one of"),
        ((photo, "a", "--preset", clip_preset, "--image-size", 9), "9"),
    ]
    for arguments, told in cases:
        code, out, err = run("where", *arguments)
        assert (code, out) == (1, "") and told in err and err.count("\n") == 1


def test_a_plot_of_an_unknown_kind_is_refused_before_the_work(run, photo):
    code, _, err = run("classify", photo, "--labels", "a,b", "--preset", "x", "--plot", "a.xyz")
    assert code == 1 and "ends in one of .png" in err


@pytest.mark.parametrize("command", ["where", "app"])
def test_help_has_an_example(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0 and f"keras-clip {command}" in out.partition("examples:")[2]


def test_the_app_says_what_is_wrong_before_it_opens(run, vit_preset, tmp_path):
    pytest.importorskip("gradio")
    code, _, err = run("app", "--preset", vit_preset)
    assert code == 1 and "is no CLIP" in err
    code, _, err = run("app", "--index", tmp_path / "none")
    assert code == 1 and "there is no index" in err and str(tmp_path / "none") in err
    code, _, err = run("app", "--port", "none")
    assert code == 2
