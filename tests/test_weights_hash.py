"""The hash of weights: the same wherever they are, another as soon as one number is."""

import hashlib

import keras
import numpy as np
import pytest
import tiny_models
from safetensors import safe_open

import keras_clip
from keras_clip.catalogue import BUNDLED_PRESET, zoo_directory
from keras_clip.models.weights import named_weights
from keras_clip.models.weights_hash import weights_hash


def hash_of_the_file(tower):
    """The same digest from the bundled file alone, without a model or a backend."""
    digest = hashlib.sha256()
    with safe_open(zoo_directory() / BUNDLED_PRESET / "model.safetensors", "numpy") as file:
        names = sorted(file.keys())
        for name in (name for name in names if name.startswith(f"{tower}/")):
            array = file.get_tensor(name).astype("float32")
            digest.update(f"{name.removeprefix(f'{tower}/')} float32 {array.shape}\n".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize("tower", ["vision", "text"])
def test_a_tower_has_one_hash_on_every_backend_alone_and_inside_its_model(tower):
    inside = keras_clip.from_preset(BUNDLED_PRESET).get_layer(tower)
    alone = keras_clip.from_preset(BUNDLED_PRESET, tower=tower)
    assert weights_hash(inside) == weights_hash(alone) == hash_of_the_file(tower)


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
