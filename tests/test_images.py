"""Pixels equal the official transforms' bytes, whatever the picture comes as."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from keras_clip.preprocessing.image_config import OPENAI_MEAN, OPENAI_STD
from keras_clip.preprocessing.images import ImageConfig, ImageProcessor

MODES = "1 L P RGB RGBA CMYK YCbCr LAB HSV I F LA PA RGBX RGBa La I;16 I;16L I;16B".split()
EXACT = (".png", ".gif")
KINDS = {
    "openai": {},
    "hf_clip": {"crop": "huggingface", "color": "first"},
    "siglip": {"resize_mode": "squash", "color": "first"},
}


def noise(height, width, channels=3, seed=0):
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def config_of(kind):
    name, size = kind.rsplit("_", 1)
    return ImageConfig(size=int(size), **KINDS[name])


# --- pixels


def test_reference_pixels(reference):
    folder = reference / "images"
    compared = 0
    for row in json.loads((folder / "index.json").read_text()):
        for kind, expected in row["expected"].items():
            pixels = ImageProcessor(config_of(kind)).pixels(folder / row["file"])
            with Image.open(folder / "expected" / expected) as image:
                difference = np.abs(pixels.astype(int) - np.asarray(image).astype(int)).max()
            exact = row["file"].endswith(EXACT) and row["mode"] != "I;16"
            assert difference <= (0 if exact else 2), f"{row['file']} {kind}: {difference}"
            compared += 1
    assert compared == 70


def test_reference_normalisation(reference):
    folder = reference / "images"
    with np.load(folder / "expected" / "normalised_openai_64.npz") as expected:
        for name, values in expected.items():
            file = folder / ".".join(name.rsplit("_", 1))
            got = ImageProcessor(ImageConfig(size=64))(file)
            assert got.dtype == np.float32 and got.shape == (1, 64, 64, 3)
            np.testing.assert_allclose(got[0], values, atol=2e-3)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "CMYK", "LA"])
@pytest.mark.parametrize("kind", ["hf_clip_31", "siglip_24"])
def test_color_first_equals_transformers(mode, kind):
    clip = pytest.importorskip("transformers.models.clip.image_processing_pil_clip")
    siglip = pytest.importorskip("transformers.models.siglip.image_processing_pil_siglip")
    image = Image.fromarray(noise(57, 83, 4), "RGBA" if mode == "RGBA" else None).convert(mode)
    size = int(kind.rsplit("_", 1)[1])
    square = {"height": size, "width": size}
    if kind.startswith("hf"):
        peer = clip.CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size=square)
    else:
        peer = siglip.SiglipImageProcessorPil(size=square, resample=3, do_convert_rgb=True)
    options = {"do_rescale": False, "do_normalize": False, "return_tensors": "np"}
    expected = peer(image, **options)["pixel_values"][0].transpose(1, 2, 0)
    np.testing.assert_array_equal(ImageProcessor(config_of(kind)).pixels(image), expected)


@pytest.mark.parametrize("color", ["last", "first"])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode(mode, color):
    config = ImageConfig(size=(20, 30), color=color)
    image = Image.new(mode, (50, 41))
    assert ImageProcessor(config).pixels(image).shape == (20, 30, 3)
    assert image.mode == mode and image.size == (50, 41)


@pytest.mark.parametrize("color", ["last", "first"])
def test_palette_transparency(color):
    image = Image.fromarray(noise(40, 40)).quantize(8)
    image.info["transparency"] = bytes([0, 128, 255, 255])
    data = encoded(image, transparency=bytes([0, 128, 255, 255]))
    processor = ImageProcessor(ImageConfig(size=16, color=color))
    np.testing.assert_array_equal(processor.pixels(data), processor.pixels(image))
    assert image.info["transparency"]  # the caller's picture is as it was


def test_exif_orientation_is_ignored_and_the_first_frame_counts():
    image = Image.fromarray(noise(20, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    processor = ImageProcessor(ImageConfig(size=(20, 30)))
    turned = encoded(image, exif=exif)
    np.testing.assert_array_equal(processor.pixels(turned), np.asarray(image))
    frames = [Image.new("L", (30, 20), value) for value in (10, 200)]
    animated = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (processor.pixels(animated) == 10).all()


def test_sixteen_bit_saturates():
    image = Image.fromarray(np.full((8, 8), 1000, dtype="uint16"))
    assert (ImageProcessor(ImageConfig(size=4)).pixels(encoded(image)) == 255).all()


@pytest.mark.parametrize(
    ("size", "source", "resized"),
    [
        # source and result are (height, width); the long side is cut down, never rounded
        ((64, 64), (201, 301), (64, 95)),
        ((64, 64), (400, 40), (640, 64)),
        ((224, 224), (31, 20), (347, 224)),
        ((64, 64), (1, 1), (64, 64)),
        ((32, 64), (100, 100), (64, 64)),
        ((64, 32), (100, 100), (64, 64)),
        ((32, 64), (100, 300), (32, 96)),
    ],
)
def test_resize_rule(size, source, resized):
    assert ImageConfig(size=size).resized(*source) == resized
    assert ImageConfig(size=size, resize_mode="squash").resized(*source) == size


def test_crop_rules():
    # margins 1, 2, 3, 5: halves go to the even neighbour or down
    for margin, openai, huggingface in ((1, 0, 0), (2, 1, 1), (3, 2, 1), (5, 2, 2), (7, 4, 3)):
        assert ImageConfig(size=10).offsets(10 + margin, 10) == (openai, 0)
        assert ImageConfig(size=10, crop="huggingface").offsets(10, 10 + margin) == (0, huggingface)


def test_a_picture_of_the_right_size_is_only_normalised():
    array = noise(12, 20)
    got = ImageProcessor(ImageConfig(size=(12, 20)))(array)
    expected = (array / 255.0 - OPENAI_MEAN) / OPENAI_STD
    np.testing.assert_allclose(got[0], expected, rtol=1e-6, atol=1e-6)


# --- sources


def test_every_source_gives_the_same_pixels(tmp_path):
    array = noise(33, 47)
    image = Image.fromarray(array)
    path = tmp_path / "picture.png"
    image.save(path)
    data = path.read_bytes()
    sources = [str(path), path, data, bytearray(data), io.BytesIO(data), image, array]
    processor = ImageProcessor(ImageConfig(size=16))
    with path.open("rb") as file:
        batch = processor([*sources, file])
    assert batch.shape == (8, 16, 16, 3) and batch.dtype == np.float32
    for one in batch[1:]:
        np.testing.assert_array_equal(one, batch[0])
    np.testing.assert_array_equal(processor(path), batch[:1])
    np.testing.assert_array_equal(processor(np.stack([array, array])), batch[:2])
    np.testing.assert_array_equal(processor(np.array([str(path)])), batch[:1])
    assert processor.pixels(path).dtype == np.uint8


def test_gray_arrays_and_one_thread():
    arrays = [noise(20, 30, 0, seed) for seed in range(9)]
    config = ImageConfig(size=16)
    one = ImageProcessor(config, max_workers=1)(arrays)
    np.testing.assert_array_equal(ImageProcessor(config, max_workers=3)(arrays), one)
    plane = ImageProcessor(config).pixels(arrays[0])
    np.testing.assert_array_equal(plane[..., 0], plane[..., 2])
