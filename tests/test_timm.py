"""timm's vision transformers and DINOv2's own files give their own numbers, and come back."""

import importlib.util
import json
import pathlib

import keras
import numpy as np
import pytest

from keras_clip import export_checkpoint, from_preset

TOLERANCE = 1e-5
TINY = {"embed_dim": 48, "depth": 2, "num_heads": 3}
# As the Hub has them, where only the name tells the number of heads; and of other sizes.
REAL = {"depth": 2, "num_classes": 5}
MODELS = {
    "test_vit": REAL,
    "vit_tiny_patch16_224": REAL,
    "deit_tiny_distilled_patch16_224": REAL,
    "deit3_small_patch16_224": REAL,
    "vit_small_patch14_reg4_dinov2": {"depth": 2},
    "vit_small_patch14_dinov2": {"depth": 2},
    "vit_base_patch16_clip_224": {**TINY, "num_classes": 5},
    "vit_base_patch32_clip_quickgelu_224": {**TINY, "num_classes": 5},
    "vit_giant_patch14_reg4_dinov2": {**TINY, "num_classes": 5},
    "vit_medium_patch16_reg4_gap_256": {**TINY, "num_classes": 5},
    "vit_base_patch16_224": {**TINY, "num_classes": 5, "global_pool": "avg"},
    "vit_base_patch32_siglip_256": TINY,
    "vit_large_patch16_siglip_gap_512": {**TINY, "num_classes": 5},
}
GRID = (3, 4)


@pytest.fixture(scope="module")
def timm():
    return pytest.importorskip("timm")


def makers():
    """The module that makes the committed checkpoints."""
    path = pathlib.Path(__file__).parent / "fixtures" / "make_parity.py"
    spec = importlib.util.spec_from_file_location("makers", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def patch_of(name):
    return int(name.partition("patch")[2].partition("_")[0] or 16)


def random_model(timm, name):
    size = tuple(cells * patch_of(name) for cells in GRID)
    return makers().randomized(timm.create_model(name, img_size=size, **MODELS[name]), 0)


def saved(timm, name, folder):
    """A model and its directory, as the Hub has it."""
    model = random_model(timm, name)
    timm.models.save_for_hf(model, folder, safe_serialization=True)
    if "num_heads" not in MODELS[name]:
        config = json.loads((folder / "config.json").read_text())
        config["model_args"] = {"img_size": config["model_args"]["img_size"]}
        (folder / "config.json").write_text(json.dumps(config))
    return model


def pictures(height, width):
    return np.random.default_rng(0).standard_normal((2, height, width, 3)).astype("float32")


def answer(model, images):
    """Logits, the vector of an attention pool, or tokens where there is neither."""
    import torch

    function = model if model.num_classes or model.global_pool == "map" else model.forward_features
    with torch.no_grad():
        return function(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()


def assert_close(found, wanted):
    found = keras.ops.convert_to_numpy(found)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < TOLERANCE * np.abs(wanted).max()


@pytest.mark.parametrize("grid", [GRID, (5, 2)])
@pytest.mark.parametrize("name", MODELS)
def test_numbers_are_those_of_timm(timm, name, grid, tmp_path):
    model = saved(timm, name, tmp_path)
    size = tuple(cells * patch_of(name) for cells in grid)
    if grid != GRID:
        model.set_input_size(img_size=size)
    images = pictures(*size)
    settings = {"head_activation": None} if model.num_classes else {}
    ours = from_preset(tmp_path, image_size=size, **settings)
    assert_close(ours(images), answer(model, images))


@pytest.mark.parametrize("name", MODELS)
def test_timm_reads_what_is_written(timm, name, tmp_path):
    model = saved(timm, name, tmp_path / "theirs")
    ours = from_preset(tmp_path / "theirs")
    export_checkpoint(ours, tmp_path / "ours", "timm")
    again = timm.create_model(f"local-dir:{tmp_path / 'ours'}", pretrained=True).eval()
    first, second = model.state_dict(), again.state_dict()
    assert set(first) == set(second)
    for tensor, values in second.items():
        np.testing.assert_array_equal(values, first[tensor], err_msg=tensor)
    images = pictures(*ours.config.image_size)
    np.testing.assert_array_equal(answer(again, images), answer(model, images))
    theirs, written = (timm.data.resolve_model_data_config(m) for m in (model, again))
    for setting in ("interpolation", "crop_pct", "crop_mode"):
        assert written[setting] == theirs[setting]
    for setting in ("mean", "std"):
        assert tuple(written[setting]) == tuple(theirs[setting])
    assert written["input_size"] == (3, *images.shape[1:3])
    assert from_preset(tmp_path / "ours").config.image == ours.config.image


def official(timm, name, registers):
    """A model of timm, and random weights under the names of DINOv2's own files."""
    import torch

    size = (4 * 14,) * 2
    model = timm.create_model(name, img_size=size, **{**TINY, "embed_dim": 192}).eval()
    state = dict(makers().randomized(model, 0).state_dict())
    state["mask_token"] = torch.ones(1, 192)
    state["pos_embed"] = torch.randn(1, 17, 192, generator=torch.Generator().manual_seed(1))
    if registers:
        state["register_tokens"] = state.pop("reg_token")
    if "giant" in name:
        for i in range(2):
            for kind in ("weight", "bias"):
                for theirs, ours in (("w12", "fc1"), ("w3", "fc2")):
                    value = state.pop(f"blocks.{i}.mlp.{ours}.{kind}")
                    state[f"blocks.{i}.mlp.{theirs}.{kind}"] = value
    return state


def resized(positions, grid, registers):
    """What DINOv2's `interpolate_pos_encoding` makes of its positions."""
    import torch

    square = positions[:, 1:].reshape(1, 4, 4, -1).permute(0, 3, 1, 2)
    how = {"size": grid, "antialias": True}
    if not registers:
        how = {"scale_factor": tuple((cells + 0.1) / 4 for cells in grid)}
    square = torch.nn.functional.interpolate(square, mode="bicubic", **how)
    assert square.shape[2:] == grid
    return torch.cat([positions[:, :1], square.permute(0, 2, 3, 1).reshape(1, -1, 192)], 1)


@pytest.mark.parametrize("grid", [(4, 4), (6, 3)])
@pytest.mark.parametrize("size", ["small", "giant"])
@pytest.mark.parametrize("registers", [0, 4])
def test_dinov2s_own_files_give_their_numbers(timm, size, registers, grid, tmp_path):
    import torch

    name = f"vit_{size}_patch14_{'reg4_' if registers else ''}dinov2"
    state = official(timm, name, registers)
    torch.save(state, tmp_path / "dinov2.pth")
    if grid != (4, 4):
        state["pos_embed"] = resized(state["pos_embed"], grid, registers)
    pixels = tuple(cells * 14 for cells in grid)
    model = timm.create_model(name, img_size=pixels, **{**TINY, "embed_dim": 192}).eval()
    model.load_state_dict(timm.models.vision_transformer.checkpoint_filter_fn(state, model))
    ours, images = from_preset(tmp_path / "dinov2.pth", image_size=pixels), pictures(*pixels)
    assert_close(ours(images), answer(model, images))
