"""`keras-clip verify` and `inspect` on every layout: its own library gives the same numbers."""

import importlib.util
import json
import pathlib

import pytest
import small_models
import test_open_clip_siglip
from test_verify import fresh_clip

from keras_clip import from_preset

pytest_plugins = ["command_line"]

FIXTURES = pathlib.Path(__file__).parent / "fixtures" / "parity"
REFERENCE = {
    "openai/clip_vit_jit_fp16.pt": "openai",
    "hf/clip_base": "huggingface_clip",
    "hf/siglip": "huggingface_siglip",
    "hf/siglip2_naflex_bf16": "huggingface_siglip2",
    "hf/vit_classification": "huggingface_vit",
    "hf/deit_distilled": "huggingface_deit",
    "hf/dinov2": "huggingface_dinov2",
    "hf/dinov2_registers": "huggingface_dinov2",
    "hf/clip_classification": "huggingface_clip_classifier",
    "open_clip/clip_gelu": "open_clip",
    "open_clip/custom_text": "open_clip",
    "npz/vit.npz": "google",
    "npz/siglip.npz": "big_vision",
    "npz/siglip_stacked_bf16.npz": "big_vision",
}
UNREAD = ("big_vision",)  # by any library that could be asked


def check(run, path, layout):
    code, out, err = run("verify", path, "--json")
    assert code == 0, err + out
    report = json.loads(out)
    assert report["layout"] == layout and not report["not_finite"]
    if layout in UNREAD:
        assert "reads this layout" in report["why_not"]
    else:
        assert report["library"], report["why_not"]
        assert report["differences"] and report["largest"] < 1e-5
    code, out, err = run("inspect", path, "--json")
    assert code == 0, err
    report = json.loads(out)
    assert (report["dialect"], report["why_not"]) == (layout, None)
    assert not report["model"]["missing"] and not report["model"]["unused"]
    code, out, err = run("inspect", path)
    assert code == 0 and layout in out


@pytest.mark.parametrize("name", REFERENCE)
def test_reference_checkpoints(run, name, reference):
    check(run, reference / name, REFERENCE[name])


def test_openai(run, tmp_path):
    check(run, small_models.write(fresh_clip(), "openai", tmp_path / "clip.pt"), "openai")


def test_google(run, tmp_path):
    check(run, small_models.write(small_models.vit(), "google", tmp_path / "vit.npz"), "google")


def test_keras_hub(run):
    pytest.importorskip("keras_hub")  # it brings TensorFlow, so it is not among the test tools
    check(run, FIXTURES / "keras_hub_clip", "keras_hub")


def makers():
    spec = importlib.util.spec_from_file_location("makers", FIXTURES.parent / "make_parity.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name",
    [
        "vit_small_patch14_dinov2",
        "vit_base_patch32_siglip_256",
        "deit_base_distilled_patch16_224",
    ],
)
def test_timm(run, name, tmp_path):
    timm = pytest.importorskip("timm")
    patch = int(name.partition("patch")[2].partition("_")[0])
    settings = {"embed_dim": 48, "depth": 1, "num_heads": 3, "img_size": 2 * patch}
    classes = {"num_classes": 5} if name.startswith("deit") else {}
    model = makers().randomized(timm.create_model(name, **settings, **classes), 0)
    timm.models.save_for_hf(model, tmp_path, safe_serialization=True)
    check(run, tmp_path, "timm")


def test_dinov2s_own_files(run, tmp_path):
    timm, torch = pytest.importorskip("timm"), pytest.importorskip("torch")
    settings = {"embed_dim": 64, "depth": 1, "num_heads": 1, "img_size": 28}
    model = makers().randomized(timm.create_model("vit_small_patch14_dinov2", **settings), 0)
    state = {**model.state_dict(), "mask_token": torch.zeros(1, 64)}
    torch.save(state, tmp_path / "dinov2.pth")
    check(run, tmp_path / "dinov2.pth", "dinov2")


def test_open_clips_siglip(run, tmp_path, monkeypatch):
    _, path = test_open_clip_siglip.tiny_model(
        "vit_base_patch16_siglip_224", tmp_path / "siglip", monkeypatch
    )
    check(run, path, "open_clip_siglip")


def test_a_bare_file_on_the_command_line(run, tmp_path):
    folder = FIXTURES / "open_clip_mean"
    data = (folder / "open_clip_model.safetensors").read_bytes()
    (tmp_path / "open_clip_model.safetensors").write_bytes(data)
    file = tmp_path / "open_clip_model.safetensors"
    code, _, err = run("convert", file, tmp_path / "out", "--to", "keras")
    assert code == 1 and "config='open_clip_config.json'" in err
    given = ("--config", folder / "open_clip_config.json")
    code, out, err = run("convert", file, tmp_path / "out", "--to", "keras", "--dry-run", *given)
    assert code == 0 and "nothing has been written" in out and not (tmp_path / "out").exists()
    code, _, err = run("convert", file, tmp_path / "out", "--to", "keras", *given)
    assert code == 0, err
    assert small_models.same(from_preset(tmp_path / "out"), from_preset(folder))
    bare = small_models.write(small_models.clip(), "openai", tmp_path / "openai")
    answers = '{"quick_gelu": true, "head_width": 64, "eos_id": null}'
    for more, dialect in (((), None), (("--config", answers), "openai")):
        code, out, err = run("inspect", bare / "model.safetensors", "--json", *more)
        assert code == 0 and json.loads(out)["dialect"] == dialect, err
    code, out, err = run("inspect", file, "--json", "--family", "clip", *given)
    assert code == 0 and json.loads(out)["dialect"] == "open_clip", err


@pytest.mark.parametrize("layout", ["huggingface", "timm", "google", "open_clip", "openai"])
def test_convert_dry_run_writes_nothing_and_refuses_the_same(run, layout, vit_preset, tmp_path):
    code, out, err = run("convert", vit_preset, tmp_path / "x.npz", "--to", layout, "--dry-run")
    assert not list(tmp_path.iterdir())
    if layout in ("open_clip", "openai"):
        assert code == 1 and "is written as" in err
    else:
        assert (code == 0 and "dry run" in out) or "cannot be written" in err
