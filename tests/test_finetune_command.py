"""`keras-clip finetune`: what it writes, measures, plans and refuses."""

import json

import keras
import numpy as np
import pytest
import small_models
from PIL import Image

import keras_clip
from keras_clip import finetune
from keras_clip.models.weights import named_weights

pytest_plugins = ["command_line"]

LEVELS = {"dark": 40, "light": 170}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Pictures of two levels of light in train/ and test/, one broken; two colours in other/."""
    random, root = np.random.default_rng(0), tmp_path_factory.mktemp("finetune")

    def write(place, count, colour):
        place.mkdir(parents=True)
        for k in range(count):
            pixels = np.array(colour) + random.integers(0, 40, (32, 32, 3))
            Image.fromarray(pixels.astype("uint8")).save(place / f"{k}.png")

    for name, level in LEVELS.items():
        write(root / "train" / name, 8, [level] * 3)
        write(root / "test" / name, 4, [level] * 3)
    write(root / "other" / "red", 3, [180, 20, 20])
    write(root / "other" / "blue", 3, [20, 20, 180])
    (root / "train" / "dark" / "broken.png").write_bytes(b"\x89PNG")
    return root


def read(folder, clip):
    """Pixels and class numbers of a folder's whole pictures."""
    places = [
        (path, k) for k, name in enumerate(sorted(LEVELS)) for path in (folder / name).iterdir()
    ]
    return clip.image_processor([path for path, _ in places]), np.array([k for _, k in places])


@pytest.mark.slow
def test_full_fine_tuning_is_measured_written_and_interpolated(run, clip_preset, folders, tmp_path):
    code, out, err = run(
        "finetune", "full", folders / "train", "--test", folders / "test", "--preset", clip_preset,
        "--elsewhere", folders / "other", "--plot", tmp_path / "wise.png", "--alpha", 0.5,
        "--epochs", 3, "--batch-size", 8, "-o", tmp_path / "out", "--json",
    )  # fmt: skip
    assert code == 0, err
    report = json.loads(out)
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    assert report["images"] == [17, 8] and report["classes"] == ["dark", "light"]
    ((key, _),) = report["failures"]
    assert key.endswith("broken.png")
    assert {"classifier.keras", "model/model.safetensors"} < set(report["files"])
    assert (tmp_path / "wise.png").is_file()
    base = keras_clip.from_preset(clip_preset)
    classifier = keras.saving.load_model(tmp_path / "out" / "classifier.keras")
    assert classifier.get_layer("predictions").class_names == ("dark", "light")
    pixels, labels = read(folders / "test", base)
    start = base.zero_shot_classifier(["dark", "light"])
    shares = [
        float(np.mean(model.predict(pixels, verbose=0).argmax(axis=1) == labels))
        for model in (start, classifier)
    ]
    assert report["accuracy"]["task"] == pytest.approx(shares)
    assert report["sweep"]["scores"]["task"][0] == pytest.approx(shares[0])
    assert report["sweep"]["scores"]["task"][5] == pytest.approx(shares[1])  # the share of 0.5
    tuned = keras_clip.from_preset(str(tmp_path / "out" / "model"))
    old, new = (named_weights(clip.get_layer("vision")) for clip in (base, tuned))
    assert not np.allclose(old["projection/kernel"], new["projection/kernel"], atol=1e-6)
    found = tuned.get_layer("vision").get_layer("projection").get_weights()
    np.testing.assert_array_equal(found[0], classifier.get_layer("projection").get_weights()[0])
    elsewhere = keras_clip.evaluate.zero_shot(tuned, folders / "other").top1
    assert report["accuracy"]["elsewhere"][1] == pytest.approx(elsewhere)


def test_a_probe_is_written_and_shown(run, clip_preset, folders, tmp_path):
    code, out, err = run(
        "finetune", "probe", folders / "train", "--test", folders / "test", "--preset", clip_preset,
        "-o", tmp_path,
    )  # fmt: skip
    assert code == 0, err
    assert "on the task" in out and "100.0 %" in out and "classifier.keras" in out
    assert "not read" in out and not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("recipe", "share"),
    [("probe", "head"), ("lp-ft", "all"), ("full", "all"), ("partial", "some"),
     ("lora", "some"), ("flyp", "all"), ("lit", "some")],
)  # fmt: skip
def test_a_dry_run_says_what_would_train(run, clip_preset, folders, tmp_path, recipe, share):
    code, out, err = run(
        "finetune", recipe, folders / "train", "--preset", clip_preset, "--dry-run", "--json",
        "--template", "a {} picture", "--labels", "gloomy,bright",
    )  # fmt: skip
    assert code == 0, err
    plan = json.loads(out)
    assert plan["sentences"] == ["a gloomy picture", "a bright picture"]
    trained, parameters = plan["trained_parameters"], plan["parameters"]
    if share == "head":
        assert trained == 64 * 2 + 2 and "learning_rate" not in plan
        return
    assert plan["steps"] == 10
    assert plan["learning_rate"] == pytest.approx(3e-3 if recipe == "lora" else 3e-4)
    if recipe == "flyp":
        assert trained == parameters
    elif share == "all":
        assert trained > 0.3 * parameters
    else:
        assert 0 < trained < 0.7 * parameters


def test_wrong_use_and_what_does_not_fit(run, clip_preset, vit_preset, folders, tmp_path):
    train, out = folders / "train", ("-o", tmp_path)
    clip, vit = ("--preset", clip_preset), ("--preset", vit_preset)
    wrong = (
        ("full", train, *clip), ("none", train, *clip, *out), ("full", train, *out, "--rank", 4),
        ("full", train, *clip, *out, "--plot", "a.png"), ("probe", train, *out, "--alpha", 0.5),
        ("full", train, *out, "--alpha", 2), ("full", train, *out, "--learning-rate", 0),
        ("full", train, *out, "--labels", "a,,b"),
    )  # fmt: skip
    for arguments in wrong:
        assert run("finetune", *arguments)[0] == 2
    cases = {
        ("flyp", train, *vit, *out): "no CLIP",
        ("full", train, *vit, *out, "--elsewhere", folders / "other"): "no CLIP",
        ("full", train / "dark", *clip, *out): "no labels",
        ("full", train, *clip, *out, "--labels", "one"): "1 --labels for 2 classes",
        ("full", train, "--test", folders / "other", *clip, *out): "blue",
        ("full", train, *clip, *out, "--test", folders / "test", "--elsewhere", folders / "other",
         "--plot", "a.txt"): ".png",
        ("partial", train, *clip, *out, "--blocks", 9): "blocks is 0 to 2",
    }  # fmt: skip
    for arguments, text in cases.items():
        code, _, err = run("finetune", *arguments)
        assert code == 1 and text in err, (arguments, err)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_adapters_come_alone_too(run, clip_preset, folders, tmp_path):
    common = ("--preset", clip_preset, "--epochs", 2, "--batch-size", 8, "--json")
    code, out, err = run(
        "finetune", "lora", folders / "train", *common, "-o", tmp_path / "lora", "--rank", 2
    )
    assert code == 0, err
    report = json.loads(out)
    assert report["rank"] == 2 and report["accuracy"] == {}
    clip = small_models.clip()
    classifier = keras_clip.from_preset(clip_preset).zero_shot_classifier(["dark", "light"])
    finetune.load_adapters(classifier, tmp_path / "lora" / "adapters.safetensors")
    written = keras.saving.load_model(tmp_path / "lora" / "classifier.keras")
    pixels, _ = read(folders / "test", clip)
    expected = classifier.predict(pixels, verbose=0)
    np.testing.assert_allclose(written.predict(pixels, verbose=0), expected, atol=1e-5)
    code, out, err = run(
        "finetune", "flyp", folders / "train", *common, "-o", tmp_path / "flyp", "--rank", 2
    )
    assert code == 0, err
    loaded = finetune.load_adapters(
        keras_clip.from_preset(clip_preset), tmp_path / "flyp" / "adapters.safetensors"
    )
    tuned = keras_clip.from_preset(str(tmp_path / "flyp" / "model"))
    for text in (["dark"], ["light"]):
        np.testing.assert_allclose(loaded.embed_texts(text), tuned.embed_texts(text), atol=1e-5)


@pytest.mark.slow
def test_a_vit_gets_a_head_of_the_classes(run, vit_preset, folders, tmp_path):
    code, out, err = run(
        "finetune", "partial", folders / "train", "--test", folders / "test", "--blocks", 1,
        "--preset", vit_preset, "--epochs", 2, "--batch-size", 8, "--learning-rate", 0.002,
        "-o", tmp_path, "--json",
    )  # fmt: skip
    assert code == 0, err
    before, after = json.loads(out)["accuracy"]["task"]
    vit = keras_clip.from_preset(str(tmp_path / "model"))
    pixels, labels = read(folders / "test", vit)
    share = np.mean(vit.predict(pixels, verbose=0).argmax(axis=1) == labels)
    assert before is None and after == pytest.approx(share)
    assert vit.config.num_classes == 2 and vit.config.labels == ("dark", "light")
