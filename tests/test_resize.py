"""Position tables on another grid equal what the reference libraries interpolate."""

import numpy as np
import pytest

from keras_clip.models.resize import METHODS, position_adaptation, resize_positions

GRIDS = [
    ((7, 7), (14, 14)),
    ((7, 7), (5, 9)),
    ((4, 6), (9, 3)),
    ((16, 16), (12, 24)),
    ((3, 3), (1, 2)),
]


def table(grid, prefix=1, width=5):
    rows = prefix + grid[0] * grid[1]
    return np.random.default_rng(0).standard_normal((rows, width)).astype("float32")


def torch_answer(values, grid, new, **options):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(values.reshape(1, *grid, -1)).permute(0, 3, 1, 2)
    if "scale_factor" not in options:
        options["size"] = new
    y = torch.nn.functional.interpolate(x, mode="bicubic", align_corners=False, **options)
    return y.permute(0, 2, 3, 1).reshape(new[0] * new[1], -1).numpy()


def scipy_answer(values, grid, new):
    ndimage = pytest.importorskip("scipy.ndimage")
    zoom = (new[0] / grid[0], new[1] / grid[1], 1)
    return ndimage.zoom(values.reshape(*grid, -1), zoom, order=1).reshape(new[0] * new[1], -1)


@pytest.mark.parametrize(("old", "new"), GRIDS)
@pytest.mark.parametrize("method", sorted(METHODS))
def test_resampling_equals_the_reference(method, old, new):
    values = table(old)
    got = resize_positions(values, 1, old, new, method)
    if method == "bilinear_aligned":
        wanted = scipy_answer(values[1:], old, new)
    elif method == "bicubic_offset":
        factors = tuple((n + 0.1) / o for o, n in zip(old, new, strict=True))
        wanted = torch_answer(values[1:], old, new, scale_factor=factors)
    else:
        wanted = torch_answer(values[1:], old, new, antialias=method == "bicubic_antialias")
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got[0], values[0])
    np.testing.assert_allclose(got[1:], wanted, rtol=0, atol=2e-5)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize(("old", "new"), GRIDS)
def test_weights_of_a_position_sum_to_one(method, old, new):
    constant = np.ones((old[0] * old[1], 2), "float32")
    np.testing.assert_allclose(resize_positions(constant, 0, old, new, method), 1, atol=1e-6)


def test_the_same_grid_changes_nothing():
    values = table((3, 4), prefix=2)
    for method in METHODS:
        np.testing.assert_array_equal(resize_positions(values, 2, (3, 4), (3, 4), method), values)


def test_float16_tables_come_out_in_float32():
    got = resize_positions(table((2, 2)).astype("float16"), 1, (2, 2), (3, 3), "bicubic")
    assert got.dtype == np.float32 and got.shape == (10, 5)


def test_wrong_table_and_method_are_named():
    with pytest.raises(ValueError, match=r"17 positions.*26"):
        resize_positions(table((4, 4)), 1, (5, 5), (6, 6), "bicubic")
    with pytest.raises(ValueError, match=r"position_resize.*nearest"):
        resize_positions(table((4, 4)), 1, (4, 4), (6, 6), "nearest")


def test_adaptation_names_the_towers_positions():
    from keras_clip.models.config import ViTConfig

    small = ViTConfig(8, 1, 2, 8, patch_size=4, image_size=(8, 12), position_resize="bicubic")
    assert position_adaptation(small, small, "vision/") == {}
    large = small.replace(image_size=(16, 12))
    ((name, (shape, resample)),) = position_adaptation(small, large, "vision/").items()
    assert name == "vision/position_embedding/embeddings" and shape == (7, 8)
    assert resample(table((2, 3), width=8)).shape == (13, 8)
