"""The hash of weights: the same wherever they are, another as soon as one number is."""

import keras
import numpy as np
import pytest
import tiny_models

import keras_clip
from keras_clip.catalogue import BUNDLED_PRESET
from keras_clip.models.weights import named_weights
from keras_clip.models.weights_hash import weights_hash

BUNDLED = {"vision": "045e4614e213bb45", "text": "2d254fa059376a0b"}  # seen on JAX


@pytest.mark.parametrize("tower", ["vision", "text"])
def test_a_tower_has_one_hash_on_every_backend_alone_and_inside_its_model(tower):
    inside = keras_clip.from_preset(BUNDLED_PRESET).get_layer(tower)
    alone = keras_clip.from_preset(BUNDLED_PRESET, tower=tower)
    assert weights_hash(inside) == weights_hash(alone) == BUNDLED[tower]


def test_one_changed_number_is_another_hash():
    clip = tiny_models.tiny_clip()
    before = weights_hash(clip)
    assert before == weights_hash(clip) and len(before) == 16 and int(before, 16) >= 0
    weight = list(named_weights(clip).values())[-1]
    value = np.array(keras.ops.convert_to_numpy(weight.value))
    value.flat[-1] = np.nextafter(value.flat[-1], np.float32(9))
    weight.assign(value)
    assert weights_hash(clip) != before


def test_the_type_of_the_weights_counts_and_bfloat16_has_a_hash():
    hashes = {weights_hash(tiny_models.tiny_vit(dtype)) for dtype in ("bfloat16", "float16")}
    assert len(hashes) == 2
