"""Every bad picture and configuration is refused by name, before memory is spent on it."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_clip.preprocessing.image_files import MAX_PIXELS
from keras_clip.preprocessing.images import ImageConfig, ImageError, ImageProcessor


def noise(height, width, channels=3, seed=0):
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def test_reference_broken_files(reference):
    folder = reference / "images" / "broken"
    for row in json.loads((folder / "manifest.json").read_text()):
        if "or return" in row["must"]:
            assert ImageProcessor().pixels(folder / row["file"]).shape == (224, 224, 3)
            continue
        for source in (folder / row["file"], [folder / row["file"]] * 5):
            with pytest.raises(ImageError, match=row["file"]):
                ImageProcessor()(source)


def png_of_size(width, height):
    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_500, 60_000])
@pytest.mark.parametrize("limit", [MAX_PIXELS, None])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bombs_are_refused_before_they_are_decoded(monkeypatch, side, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ImageError, match=r"image bytes.*(pixels|bomb)"):
        ImageProcessor()(png_of_size(side, side))
    assert limit == Image.MAX_IMAGE_PIXELS


BROKEN = {
    "cut.png": encoded(Image.fromarray(noise(64, 64)))[:3000],
    "cut.jpg": encoded(Image.fromarray(noise(64, 64)), "JPEG")[:2000],
    "empty.png": b"",
    "words.png": b"<html>not found</html>",
    "postscript.eps": encoded(Image.fromarray(noise(8, 8)), "EPS"),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_broken_files_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(BROKEN[name])
    with pytest.raises(ImageError, match=name):
        ImageProcessor()(tmp_path / name)
    with pytest.raises(ImageError, match="Image 2"):
        ImageProcessor()([noise(8, 8), noise(8, 8), BROKEN[name], noise(8, 8)])


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path / "nothing.jpg", tmp_path):
        with pytest.raises(ImageError, match=path.name):
            ImageProcessor()([path])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "empty list"),
        (np.zeros((0, 8, 8, 3), "uint8"), "empty list"),
        (np.zeros((8, 8, 3), "float32"), "uint8, got float32.*0 to 255"),
        (np.zeros((8, 8, 3), "int64"), "uint8, got int64"),
        (np.zeros((2, 8, 8, 3), "float32"), "Image 0: expected dtype uint8"),
        (np.zeros((3, 8, 8), "uint8"), "3 channels.*channels last"),
        (np.zeros((8, 8, 4), "uint8"), r"3 channels.*\(8, 8, 4\)"),
        (np.zeros((8,), "uint8"), r"expected shape.*\(8,\)"),
        (np.zeros((1, 2, 8, 8, 3), "uint8"), r"expected shape.*\(1, 2, 8, 8, 3\)"),
        ([np.zeros((2, 8, 8, 3), "uint8")], r"expected shape.*\(2, 8, 8, 3\)"),
        (np.zeros((0, 8, 3), "uint8"), "no pixel"),
        (Image.new("RGB", (0, 5)), "no pixel"),
    ],
)
def test_wrong_arrays(images, message):
    with pytest.raises(ImageError, match=message):
        ImageProcessor()(images)


@pytest.mark.parametrize("images", [3, None, [None], [[1, 2]], {"a": 1}])
def test_wrong_types(images):
    with pytest.raises(TypeError, match="expected a path"):
        ImageProcessor()(images)


# --- configuration


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"size": (224,)},
        {"size": (224, -1)},
        {"size": 22.5},
        {"mean": 0.5},
        {"mean": (0.5, 0.5)},
        {"std": (0.5, 0.0, 0.5)},
        {"std": (0.5, float("nan"), 0.5)},
        {"resize_mode": "longest"},
        {"interpolation": "nearest"},
        {"crop": "random"},
        {"color": "never"},
    ],
)
def test_wrong_configurations(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ImageConfig(**wrong)


def test_configuration_round_trip():
    config = ImageConfig(size=[8, 9], mean=[0, 0, 0], std=(1, 1, 1), crop="huggingface")
    assert config.size == (8, 9) and config.mean == (0.0, 0.0, 0.0)
    assert ImageConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert hash(config) == hash(ImageConfig.from_dict(config.to_dict()))
    with pytest.raises(ValueError, match="sise"):
        ImageConfig.from_dict({"sise": 3})
    with pytest.raises(TypeError, match="ImageConfig"):
        ImageProcessor({"size": 3})
