"""Which images and captions of a batch belong together."""

import keras
import numpy as np
import pytest
from tiny_models import tiny_images, tiny_token_ids

from keras_clip.models.pairing import belong, key_columns, pair_keys

COUNT = 6


def positives_of(images, token_ids, groups=None, match_duplicates=True):
    as_tensors = (keras.ops.convert_to_tensor(x) for x in (images, token_ids))
    captions = token_ids.shape[1] if token_ids.ndim == 3 else 1
    keys = pair_keys(*as_tensors, groups, match_duplicates)
    return keras.ops.convert_to_numpy(belong(*key_columns(keys, len(images), captions)))


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_equal_images_and_equal_captions_belong_together(dtype):
    images, token_ids = tiny_images(COUNT), tiny_token_ids(COUNT)
    images = (100 + 20 * images).astype(dtype)
    token_ids[3] = token_ids[1]
    images[5] = images[0]
    expected = np.eye(COUNT, dtype=bool)
    for one, other in ((1, 3), (0, 5)):
        expected[one, other] = expected[other, one] = True
    np.testing.assert_array_equal(positives_of(images, token_ids), expected)
    np.testing.assert_array_equal(
        positives_of(images, token_ids, match_duplicates=False), np.eye(COUNT)
    )


def test_a_caption_of_two_images_belongs_to_both():
    token_ids = tiny_token_ids(2 * COUNT).reshape(COUNT, 2, -1)
    token_ids[4, 1] = token_ids[2, 0]
    expected = np.repeat(np.eye(COUNT, dtype=bool), 2, axis=1)
    expected[2, 9] = expected[4, 4] = True
    np.testing.assert_array_equal(positives_of(tiny_images(COUNT), token_ids), expected)


def test_one_changed_value_makes_another_image_or_caption():
    images, token_ids = (np.repeat(x(1), 40, axis=0) for x in (tiny_images, tiny_token_ids))
    for row in range(1, 40):
        images[row].flat[row] += np.float32(1e-6)
        token_ids[row, row % 16] += row
    np.testing.assert_array_equal(positives_of(images, token_ids), np.eye(40))
