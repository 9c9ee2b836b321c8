"""Converting a checkpoint and comparing it with its reference library, from the command line."""

import json
import sys

import numpy as np
import pytest
import small_models

from keras_clip import CLIP, CLIPConfig
from keras_clip.command import verify

pytest_plugins = ["command_line"]


@pytest.mark.parametrize("layout", ["huggingface", "openai", "keras"])
def test_convert_writes_what_loads_again(run, clip_preset, layout, tmp_path):
    import keras_clip

    target = tmp_path / ("clip.pt" if layout == "openai" else "clip")
    code, out, err = run("convert", clip_preset, target, "--to", layout, "--json")
    assert code == 0, err
    assert sum(json.loads(out)["files"].values()) > 100_000
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype="uint8")
    one, other = (
        keras_clip.from_preset(place).embed_images(images) for place in (clip_preset, target)
    )
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_convert_to_google(run, tmp_path):
    image = {"resize_mode": "squash", "interpolation": "bilinear"}
    image |= {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    small_models.vit(image=image).save_to_preset(tmp_path / "vit")
    code, out, err = run("convert", tmp_path / "vit", tmp_path / "vit.npz", "--to", "google")
    assert code == 0, err
    assert "vit.npz" in out


def fresh_clip():
    """As initialised: rounding stays small, unlike in `small_models.clip`."""
    config = CLIPConfig.from_dict(small_models.CLIP_CONFIG)
    towers = (config.vision, config.text)  # OpenAI's layout has this width only
    vision, text = (tower.replace(mlp_dim=4 * tower.hidden_dim) for tower in towers)
    return CLIP(config.replace(vision=vision, text=text))


def test_verify_compares_with_transformers(run, clip_preset, tmp_path):
    pytest.importorskip("transformers")
    target = tmp_path / "clip"
    small_models.write(fresh_clip(), "huggingface_clip", target)
    code, out, err = run("verify", target, "--json")
    assert code == 0, err
    report = json.loads(out)
    assert report["passed"] and report["largest"] < 1e-5
    assert set(report["differences"]) == {"image embeddings", "text embeddings"}
    assert report["library"].startswith("transformers")
    code, out, _ = run("verify", target, "--tolerance", "1e-12")
    assert code == 1 and "failed" in out


def test_verify_compares_a_vit_with_transformers(run, tmp_path):
    pytest.importorskip("transformers")
    target = tmp_path / "vit"
    small_models.write(small_models.vit(activation="gelu"), "huggingface_vit", target)
    code, out, err = run("verify", target)
    assert code == 0, err
    assert "passed" in out and "logits" in out


def test_verify_says_why_it_does_not_compare(run, clip_preset, tmp_path, monkeypatch):
    code, out, _ = run("verify", clip_preset, "--json")
    assert code == 0 and "reads this layout" in json.loads(out)["why_not"]
    monkeypatch.setitem(sys.modules, "timm", None)
    small_models.write(small_models.vit(), "google", tmp_path / "vit.npz")
    code, out, _ = run("verify", tmp_path / "vit.npz")
    assert code == 0 and "pip install timm" in " ".join(out.split())


def test_verify_finds_weights_that_are_not_numbers(clip_preset, monkeypatch):
    monkeypatch.setattr(verify, "finite", lambda weight: "fc1/kernel" not in weight.path)
    report = verify.verify(clip_preset)
    assert not report["passed"] and len(report["not_finite"]) == 4


def test_verify_says_what_the_library_cannot_load(run, tmp_path):
    pytest.importorskip("open_clip")
    small_models.write(small_models.clip(), "openai", tmp_path / "clip.pt")  # another mlp_dim
    code, out, err = run("verify", tmp_path / "clip.pt", "--json")
    assert code == 0, err
    assert "open_clip cannot load it" in json.loads(out)["why_not"]


def test_difference_of_nan_is_infinite():
    nan = np.array([[1.0, np.nan]])
    assert verify.difference(nan, np.ones((1, 2))) == float("inf")
    with pytest.raises(ValueError, match="shape"):
        verify.difference(nan, np.ones(3))
