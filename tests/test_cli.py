"""The command line: what it prints, writes and returns, and that wrong use is one clear line."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from keras_clip.command import terminal
from keras_clip.command.listing import imagenet, presets
from keras_clip.command.parser import PRESET

pytest_plugins = ["command_line"]
COMMANDS = ("list", "info", "classify", "evaluate", "embed", "convert", "verify", "demo")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for name in ("b.png", "a.JPG", "c.webp"):
        pixels = random.integers(0, 256, (40, 50, 3), dtype="uint8")
        Image.fromarray(pixels).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"keras-clip {command}" in out.partition("examples:")[2]


def test_version(run):
    import keras_clip

    assert run("--version") == (0, f"keras-clip {keras_clip.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("clasify",),
        ("classify",),
        ("classify", "a.png", "--top", "0"),
        ("classify", "a.png", "--labels", "cat,,dog"),
        ("list", "--family", "resnet"),
        ("convert", "a", "b", "--to", "onnx"),
    ],
)
def test_wrong_use_is_exit_code_2(run, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("usage: keras-clip") and "error: " in err.splitlines()[-1]


def test_list_shows_every_preset_with_its_number(run):
    code, out, _ = run("list")
    assert code == 0
    for entry in presets():
        (line,) = (line for line in out.splitlines() if line.split()[:1] == [entry["name"]])
        metric = imagenet(entry)
        assert entry["license"] in line and (metric is None or f"{metric['value']:.1f}" in line)
        assert metric is None or metric["source"] in out


def test_list_as_json_is_by_family(run):
    known = json.loads(run("list", "--family", "vit", "--json")[1])
    assert {entry["family"] for entry in known} == {"vit"}
    assert {"name", "params", "license", "metrics", "config"} <= set(known[0])


def test_info_shows_configuration_and_protocol(run):
    code, out, _ = run("info", PRESET)
    assert code == 0
    for text in ("151,277,313", "vision.hidden_dim", "quick_gelu", "openai/CLIP issue 24", "63.2"):
        assert text in out, text
    assert json.loads(run("info", PRESET, "--json")[1])["name"] == PRESET


def test_info_of_an_unknown_name_suggests_one(run):
    code, out, err = run("info", "clip_vit_base_patch32_opena")
    assert (code, out) == (1, "") and err.count("\n") == 1
    assert err.startswith("keras-clip: error: ") and PRESET in err


def test_classify_prints_json_like_the_model_itself(run, clip_preset, photos):
    import keras_clip

    code, out, _ = run(
        "classify", photos, "--labels", "a cat, a dog", "--labels", "[red]fox",
        "--template", "{}", "--template", "see {}", "--top", 2, "--preset", clip_preset, "--json",
    )  # fmt: skip
    assert code == 0
    results = json.loads(out)
    names = [pathlib.Path(result["image"]).name for result in results]
    assert names == ["a.JPG", "b.png", "c.webp"]
    clip = keras_clip.from_preset(clip_preset)
    labels = ["a cat", "a dog", "[red]fox"]
    classifier = clip.zero_shot_classifier(labels, ["{}", "see {}"])
    expected = classifier.predict_on_batch(clip.image_processor([results[0]["image"]]))
    order = np.argsort(-np.asarray(expected[0]))[:2]
    assert [answer["label"] for answer in results[0]["answers"]] == [labels[k] for k in order]
    found = [answer["probability"] for answer in results[0]["answers"]]
    np.testing.assert_allclose(found, np.asarray(expected[0])[order], atol=1e-5)


def test_classify_prints_labels_as_they_are_and_plots(run, clip_preset, photos, tmp_path):
    plot = tmp_path / "plots" / "answers.png"
    code, out, _ = run(
        "classify", photos / "b.png", "--labels", "[red]fox,cat", "--plot", plot,
        "--preset", clip_preset,
    )  # fmt: skip
    assert code == 0 and "[red]fox" in out and "%" in out
    with Image.open(plot) as drawn:
        assert min(drawn.size) > 100
    assert [path.name for path in plot.parent.iterdir()] == ["answers.png"]


def test_classify_with_a_trained_head(run, vit_preset, photos):
    code, out, _ = run("classify", photos, "--preset", vit_preset, "--json", "--top", 7)
    assert code == 0
    (first, *_) = json.loads(out)
    assert sum(answer["probability"] for answer in first["answers"]) == pytest.approx(1, abs=1e-5)
    assert {answer["label"] for answer in first["answers"]} == {f"class {k}" for k in range(7)}


def test_classify_errors_name_what_is_wrong(run, clip_preset, vit_preset, photos, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG but no more")
    cases = [
        ((photos, "--preset", clip_preset), "--labels"),
        ((photos, "--labels", "a,a", "--preset", clip_preset), "'a'"),
        ((photos, "--labels", "a,b", "--template", "x", "--preset", clip_preset), "'x'"),
        ((photos, "--labels", "a,b", "--preset", vit_preset), "trained head"),
        ((broken, "--labels", "a,b", "--preset", clip_preset), "broken.png"),
        ((tmp_path / "none.png", "--labels", "a", "--preset", clip_preset), "none.png"),
        ((photos, "--labels", "a,b", "--preset", tmp_path / "none"), "none"),
    ]
    for arguments, told in cases:
        code, out, err = run("classify", *arguments)
        assert (code, out) == (1, "")
        assert told in err and "Traceback" not in err and err.startswith("keras-clip: error: ")


def test_without_a_network_the_bundled_preset_is_suggested(run, photos):
    code, _, err = run("classify", photos, "--labels", "a,b")
    assert code == 1 and err.count("\n") == 1
    assert "--preset clip_resnet_tiny_shapes" in err


def test_debug_shows_where(run, photos, monkeypatch):
    monkeypatch.setenv("KERAS_CLIP_DEBUG", "1")
    with pytest.raises(ValueError, match="no preset"):
        run("classify", photos, "--labels", "a,b", "--preset", "nothing")


def test_bar_and_thumbnail(photos):
    assert [len(terminal.bar(share, 10)) for share in (-1, 0, 0.051, 0.5, 1, 2)] == [10] * 6
    assert terminal.bar(0.5, 10) == "█████     " and terminal.bar(1, 10) == "█" * 10
    text = terminal.thumbnail(photos / "b.png", 4)
    assert text.plain == "▀▀▀▀\n▀▀▀▀"
