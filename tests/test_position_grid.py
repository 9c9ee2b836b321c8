"""Rows of positions become the grid of the file, or a question; never a false square."""

import importlib.util
import itertools
import math
import pathlib
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_clip import CheckpointError, from_preset
from keras_clip.convert import big_vision, dinov2, google_vit, open_clip_siglip
from keras_clip.convert.position_grid import position_grid

CELL = (4, 8)
BEFORE = ((0,), (1,), (2,), (1, 0))


def find(rows, before, *grids):
    sizes = [tuple(n * c for n, c in zip(grid, CELL, strict=True)) for grid in grids]
    return position_grid("a.pt", "positions", rows, before, CELL, sizes)


@pytest.mark.parametrize("before", BEFORE)
def test_a_size_that_fits_is_the_files_and_a_class_token_keeps_its_position(before):
    refused = 0
    for height, width, count in itertools.product(range(1, 17), range(1, 17), before):
        grid, rows = (height, width), height * width + count
        assert find(rows, before, grid) == (grid, count)
        assert find(rows, before, (99, 99), grid) == (grid, count)
        assert find(rows, before, grid, (1, height * width)) == (grid, count)
        try:
            (down, across), found = find(rows, before)
        except CheckpointError as error:
            refused += 1
            assert "image_size=(height, width)" in str(error)
            assert math.isqrt(height * width) ** 2 != height * width or count < max(before)
        else:
            assert down == across and found == max(before)
            assert down * across + found == rows
    assert refused > 100


def test_no_grid_is_none():
    for rows in (0, 1):
        with pytest.raises(CheckpointError, match=f"'positions' has {rows} rows"):
            find(rows, (1,))


def makers():
    """The module that makes the committed checkpoints."""
    path = pathlib.Path(__file__).parent / "fixtures" / "make_parity.py"
    spec = importlib.util.spec_from_file_location("makers", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pictures(size):
    return np.random.default_rng(0).standard_normal((2, *size, 3)).astype("float32")


def assert_close(found, wanted):
    found = keras.ops.convert_to_numpy(found)
    assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()


def channels_first(images):
    import torch

    return torch.from_numpy(images).permute(0, 3, 1, 2)


# Patches and a class token that make a square number: 49 and 225 rows.
SQUARE_SUMS = ((96, 128), (224, 256))


@pytest.mark.parametrize("size", SQUARE_SUMS)
def test_a_bare_timm_file_whose_rows_are_a_false_square(size, tmp_path):
    import torch

    timm = pytest.importorskip("timm")
    settings = {"embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 4}
    model = timm.create_model("vit_base_patch16_224", img_size=size, **settings)
    model, images = makers().randomized(model, 0), pictures(size)
    torch.save(model.state_dict(), tmp_path / "bare.pth")
    given = {"config": {"architecture": "vit_base_patch16_224", "model_args": {"num_heads": 3}}}
    for asked in ({}, {"image_size": (32, 64)}):
        with pytest.raises(CheckpointError, match=r"square without a position of the class token"):
            from_preset(tmp_path / "bare.pth", **given, **asked)
    given["config"] |= {"pretrained_cfg": {"input_size": [3, *size]}}
    for known in (given, {**given, "image_size": size}):
        vit = from_preset(tmp_path / "bare.pth", **known, head_activation=None)
        assert vit.config.image_size == size and vit.config.use_prefix_positions
        with torch.no_grad():
            assert_close(vit(images), model(channels_first(images)).numpy())


def test_a_name_that_has_no_class_position_settles_it(tmp_path):
    import torch

    timm = pytest.importorskip("timm")
    settings = {"embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 4, "img_size": 48}
    model = makers().randomized(timm.create_model("deit3_base_patch16_224", **settings), 0)
    torch.save(model.state_dict(), tmp_path / "bare.pth")
    given = {"architecture": "deit3_base_patch16_224", "model_args": {"num_heads": 3}}
    vit = from_preset(tmp_path / "bare.pth", config=given, head_activation=None)
    assert vit.config.image_size == (48, 48) and not vit.config.use_prefix_positions
    images = pictures((48, 48))
    with torch.no_grad():
        assert_close(vit(images), model(channels_first(images)).numpy())


@pytest.mark.parametrize("asked", ["image_size", "vision"])
def test_openais_names_with_rows_of_a_square_and_one(asked, tmp_path):
    import torch

    open_clip = pytest.importorskip("open_clip")
    size, sizes = (16, 64), {"layers": 1, "width": 64}
    text = {**sizes, "heads": 1, "vocab_size": 40, "context_length": 12}
    vision = {**sizes, "image_size": size, "patch_size": 8}
    model = makers().randomized(open_clip.CLIP(16, vision, text, quick_gelu=True), 0)
    torch.save({"state_dict": model.state_dict(), "epoch": 3}, tmp_path / "epoch_3.pt")
    given = {"config": {"quick_gelu": True, "head_width": 64, "eos_id": None}}
    wide = {"image_size": size} if asked == "image_size" else {"vision": {"image_size": size}}
    clip, images = from_preset(tmp_path / "epoch_3.pt", **given, **wide), pictures(size)
    assert clip.config.vision.image_size == size
    with torch.no_grad():
        assert_close(clip.encode_image(images), model.encode_image(channels_first(images)).numpy())


def shapes(values):
    return {name: SimpleNamespace(shape=shape) for name, shape in values.items()}


BLOCK = "blocks.0."
GOOGLE = "Transformer/encoderblock_0/"
SIGLIP = "img/Transformer/encoderblock_0/"
ATTENTION = "MultiHeadDotProductAttention_{}/query/kernel"
# Of each layout that reads a grid off its rows: its patch, table of positions, rows for other
# tokens, and the other tensors that it asks for.
LAYOUTS = {
    "dinov2": (dinov2, None, "pos_embed", 1, {
        "patch_embed.proj.weight": (64, 3, 4, 8), f"{BLOCK}norm1.weight": (64,),
        f"{BLOCK}mlp.fc2.weight": (64, 96),
    }),
    "google": (google_vit, None, "Transformer/posembed_input/pos_embedding", 1, {
        "embedding/kernel": (4, 8, 3, 64), f"{GOOGLE}LayerNorm_0/scale": (64,),
        f"{GOOGLE}{ATTENTION.format(1)}": (64, 4, 16),
        f"{GOOGLE}MlpBlock_3/Dense_0/kernel": (64, 96),
    }),
    "big_vision": (big_vision, None, "img/pos_embedding", 0, {
        "img/MAPHead_0/probe": (1, 1, 64), "b": (1,), "img/embedding/kernel": (4, 8, 3, 64),
        "txt/Embed_0/embedding": (70, 64), "txt/pos_embedding": (1, 12, 64),
        "txt/head/kernel": (64, 64),
        **{f"{tower}{ATTENTION.format(0)}": (64, 4, 16)
           for tower in (SIGLIP, "txt/Encoder_0/encoderblock_0/")},
        **{f"{tower}MlpBlock_0/Dense_0/kernel": (64, 96)
           for tower in (SIGLIP, "txt/Encoder_0/encoderblock_0/")},
    }),
    "open_clip_siglip": (
        open_clip_siglip,
        {"model_cfg": {"embed_dim": 64, "text_cfg": {"layers": 1}, "vision_cfg": {
            "timm_model_name": "vit_base_patch16_siglip_224"}}},
        "visual.trunk.pos_embed", 0,
        {"visual.trunk.patch_embed.proj.weight": (96, 3, 4, 8),
         "visual.trunk.blocks.0.mlp.fc1.weight": (96, 96)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("grid", [(4, 4), (2, 8), (3, 5), (6, 8)])
@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_asks_the_same_way(name, grid):
    dialect, config, positions, before, others = LAYOUTS[name]
    size = tuple(n * c for n, c in zip(grid, CELL, strict=True))
    rows = math.prod(grid) + before
    checkpoint = shapes({**others, positions: (1, rows, 64)})
    values = dialect.config_from(checkpoint, config, None, size)
    assert values.get("vision", values)["image_size"] == size
    side = math.isqrt(math.prod(grid))
    if side * side == math.prod(grid):
        values = dialect.config_from(checkpoint, config)
        assert values.get("vision", values)["image_size"] == (side * CELL[0], side * CELL[1])
    else:
        with pytest.raises(CheckpointError, match=rf"'{positions}' has {rows} rows"):
            dialect.config_from(checkpoint, config)
