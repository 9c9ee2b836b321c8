"""Pictures are decoded ahead, in their order; broken ones are told and nothing else changes."""

import threading
import time

import numpy as np
import pytest
from PIL import Image

from keras_clip.data import decoded, open_pictures
from keras_clip.preprocessing.image_config import ImageConfig
from keras_clip.preprocessing.images import ImageProcessor
from keras_clip.preprocessing.naflex_images import NaFlexImageConfig, NaFlexImageProcessor


@pytest.fixture
def photos(tmp_path):
    """Eleven pictures of different sizes."""
    random = np.random.default_rng(0)
    for number in range(11):
        size = (20 + number, 31 - number, 3)
        Image.fromarray(random.integers(0, 256, size, "uint8")).save(tmp_path / f"{number:02}.png")
    return open_pictures(tmp_path)


PROCESSORS = {
    "square": ImageProcessor(ImageConfig(16)),
    "naflex": NaFlexImageProcessor(NaFlexImageConfig((4, 4), 20)),
}


def parts(pixels):
    return pixels if isinstance(pixels, dict) else {"pixels": pixels}


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("workers", [1, 3])
def test_batches_are_what_the_processor_makes_in_order(photos, name, workers):
    processor = PROCESSORS[name]
    batches = list(decoded(photos, processor, 4, workers))
    assert [batch.rows for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    expected = parts(processor(photos.paths))
    for key, whole in expected.items():
        found = np.concatenate([parts(batch.pixels)[key] for batch in batches])
        np.testing.assert_array_equal(found, whole)


def test_broken_pictures_are_told_and_the_others_stay(photos):
    expected = PROCESSORS["square"]([photos.paths[4], photos.paths[6]])
    for row in range(4):
        with open(photos.paths[row], "r+b") as file:
            file.truncate(30 * row)
    with open(photos.paths[5], "r+b") as file:
        file.truncate(100)
    first, second, third = decoded(photos, PROCESSORS["square"], 4)
    assert first.rows == [] and first.pixels is None
    assert [row for row, _ in first.errors] == [0, 1, 2, 3]
    starts = ("not a readable image: ", "damaged image data: ")
    assert all(reason.startswith(starts) for _, reason in first.errors)
    assert second.rows == [4, 6, 7] and second.errors[0][0] == 5
    np.testing.assert_array_equal(second.pixels[:2], expected)
    assert third.rows == [8, 9, 10] and third.errors == []


def test_no_more_than_asked_is_decoded_ahead_and_closing_ends_it(photos):
    taken = []

    def processor(sources):
        taken.append(sources[0])
        return np.zeros((1, 2, 2, 3), "float32")

    batches = decoded(photos, processor, 2, workers=1, ahead=1)
    next(batches)
    time.sleep(0.05)
    assert len(taken) == 4
    batches.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("decoding")]


def test_an_error_that_is_no_pictures_fault_is_raised(photos):
    def processor(sources):
        raise RuntimeError("broken processor")

    with pytest.raises(RuntimeError, match="broken processor"):
        next(decoded(photos, processor, 2))
    with pytest.raises(ValueError, match="batch_size is at least 1, not 0"):
        next(decoded(photos, processor, 0))
