"""`keras-clip evaluate` and `classify --prompts`: the numbers of the library, printed."""

import json

import numpy as np
import pytest
from PIL import Image

import keras_clip
from keras_clip import evaluate

pytest_plugins = ["command_line"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("classes")
    random = np.random.default_rng(0)
    for number in range(9):
        place = root / ("cat", "dog", "fox")[number % 3]
        place.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 40, 3), "uint8")).save(place / f"{number}.png")
    (root / "cat" / "broken.png").write_bytes(b"no picture")
    lines = ["path,caption", "cat/0.png,cat 0", "dog/1.png,dog 1", "fox/2.png,fox 2"]
    (root / "captions.csv").write_text("\n".join(lines))
    return root


def test_numbers_and_worst_classes(run, clip_preset, folder):
    arguments = ("evaluate", folder, "--preset", clip_preset, "--template", "{}")
    result = json.loads(run(*arguments, "--json")[1])
    clip = keras_clip.from_preset(clip_preset)
    expected = evaluate.zero_shot(clip, folder, templates="{}")
    assert result["confusion"] == expected.confusion.tolist()
    assert result["class_names"] == ["cat", "dog", "fox"] and result["images"] == 9
    code, out, _ = run(*arguments)
    assert code == 0
    assert f"{100 * expected.top1:.1f} %" in out and "1 pictures could not be read" in out


def test_confusion_is_drawn(run, clip_preset, folder, tmp_path):
    arguments = ("evaluate", folder, "--preset", clip_preset, "--labels", "cat,dog,fox")
    assert run(*arguments, "--template", "{}", "--plot", tmp_path / "c.png")[0] == 0
    assert (tmp_path / "c.png").is_file()


def test_captions(run, clip_preset, folder):
    arguments = ("evaluate", folder / "captions.csv", "--captions", "--preset", clip_preset)
    result = json.loads(run(*arguments, "--json")[1])
    clip = keras_clip.from_preset(clip_preset)
    expected, _ = evaluate.caption_retrieval(clip, folder / "captions.csv")
    assert result["image_to_text"] == {str(k): v for k, v in expected.image_to_text.items()}
    code, out, _ = run(*arguments)
    assert code == 0 and "recall@10" in out and "3 pictures, 3 captions" in out


def test_classify_takes_a_set_of_prompts(run, clip_preset, folder, tmp_path):
    (tmp_path / "own.toml").write_text('templates = ["{} x", "{}"]\nlabels = ["cat", "dog"]\n')
    picture = folder / "cat" / "0.png"
    arguments = ("classify", picture, "--preset", clip_preset, "--json")
    result = json.loads(run(*arguments, "--prompts", tmp_path / "own.toml")[1])
    templates = ("--template", "{} x", "--template", "{}")
    assert result == json.loads(run(*arguments, "--labels", "cat,dog", *templates)[1])


@pytest.mark.parametrize(
    "more, code, message",
    [
        (("--captions", "--labels", "a"), 2, "--captions goes with no labels"),
        (("--prompts", "fotos"), 1, "no set of prompts 'fotos'"),
        (("--labels", "cat,dog"), 1, "'fox'] are not among the labels"),
        (("--captions",), 1, "have no captions"),
    ],
)
def test_what_cannot_be_done_is_one_line(run, clip_preset, folder, more, code, message):
    found, out, err = run("evaluate", folder, "--preset", clip_preset, *more)
    assert (found, out) == (code, "") and message in err.splitlines()[-1]


def test_a_vit_has_no_zero_shot(run, vit_preset, folder):
    assert "is no CLIP" in run("evaluate", folder, "--preset", vit_preset)[2]
