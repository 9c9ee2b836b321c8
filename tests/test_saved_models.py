"""The law of saved models: whatever becomes of a model, another process has it again."""

import itertools
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from saved_models import MODELS, STATES, combinations, compiled, facts, make, randomized, some, step

pytestmark = [
    # Keras says this of embeddings in float8, and of weights of a head that is not asked for.
    pytest.mark.filterwarnings("ignore:Invalid quantization mode"),
]
HERE = pathlib.Path(__file__).parent
BACKEND = keras.backend.backend()
# Every combination on torch; elsewhere what is compiled costs seconds each, on jax most.
STEPS = list(itertools.product(MODELS, STATES))
if BACKEND != "torch":
    STEPS = list(zip(MODELS, itertools.cycle(STATES)))


def loaded_elsewhere(folder):
    """Load all files of a folder in a new process: {name: (arrays, weights)}."""
    program = [sys.executable, "-W", "ignore", str(HERE / "saved_models.py"), str(folder)]
    paths = os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        program, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert not done.returncode, done.stderr[-3000:]
    found = {}
    for path in folder.glob("*.npz"):
        with np.load(path) as file:
            arrays = [file[f"arr_{i}"] for i in range(len(file.files))]
        name = path.name.removesuffix(".loaded.npz")
        found[name] = arrays, json.loads(path.with_name(f"{name}.loaded.json").read_text())
    return found


def assert_close(found, expected, name):
    assert len(found) == len(expected), name
    for one, other in zip(found, expected, strict=True):
        assert np.isfinite(other).all(), name
        np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max(), err_msg=name)


def check_numbers_and_what_trains(chosen, folder):
    expected = {}
    for one in chosen:
        made, name = make(*one), "-".join(one)
        made.save(folder / f"{name}.keras")
        expected[name] = facts(made)
    found = loaded_elsewhere(folder)
    assert set(found) == set(expected)
    for name, (outputs, weights) in expected.items():
        assert found[name][1] == weights, name
        assert_close(found[name][0], outputs, name)


def test_numbers_and_what_trains(tmp_path):
    every = list(combinations())
    if BACKEND != "torch":
        every = some(every)
        assert len(every) >= 80
    check_numbers_and_what_trains(every[::3] if BACKEND == "jax" else every, tmp_path)


def test_training_goes_on(tmp_path):
    expected = {}
    for model, state in STEPS:
        made, name = compiled(make(model, "alone", state)), f"{model}-{state}"
        step(made)
        made.save(tmp_path / f"{name}.keras")
        outputs, _ = facts(made)
        expected[name] = [*outputs, *step(made)]  # the moments of Adam count here
    found = loaded_elsewhere(tmp_path)
    for name, arrays in expected.items():
        assert_close(found[name][0], arrays, name)


@pytest.mark.parametrize("state", STATES)
def test_weights_files(state, tmp_path):
    for model in ("clip", "vit", "zero_shot_resnet"):
        made = make(model, "alone", state)
        path = tmp_path / f"{model}.weights.h5"
        made.save_weights(path)
        other = MODELS[model]()
        STATES[state](other)
        other.load_weights(path)
        assert_close(facts(other)[0], facts(made)[0], model)


def test_adapters_of_a_weights_file_are_not_lost(tmp_path):
    make("vit", "alone", "lora").save_weights(tmp_path / "vit.weights.h5")
    with pytest.raises(ValueError, match=r"has LoRA adapters of.*merge_adapters"):
        MODELS["vit"]().load_weights(tmp_path / "vit.weights.h5")


@pytest.mark.parametrize("mode", ["gptq", "awq"])
def test_what_was_calibrated_is_refused_before_anything_is_written(mode, tmp_path):
    made = MODELS["vit"]()
    kind = getattr(keras.quantizers, f"{mode.upper()}Config", None)
    if kind is None:
        pytest.skip(f"this Keras knows no {mode}")
    config = kind(dataset=["a"], tokenizer=None)
    made.get_layer("head").quantize(mode, config=config)
    with pytest.raises(ValueError, match=f"head is quantised by {mode}"):
        made.save(tmp_path / "vit.keras")
    assert not list(tmp_path.iterdir())


def test_every_layer_that_has_weights_keeps_its_state():
    from layer_cases import CASES, every_layer

    from keras_clip import layers
    from keras_clip.layers.layer_state import KeepsState

    model = every_layer()
    for name in CASES:
        layer = model.get_layer(name)
        assert not layer.weights or isinstance(layer, KeepsState), name
    assert {type(model.get_layer(name)).__name__ for name in CASES} == set(layers.__all__)


@pytest.mark.parametrize("state", STATES)
def test_every_layer_in_a_plain_model(state, tmp_path):
    from layer_cases import every_input, every_layer

    model = randomized(every_layer())
    if state == "lora":
        from keras_clip.layers.adaptable import Adaptable
        from keras_clip.layers.layer_state import walk

        for _, layer in walk(model):
            if isinstance(layer, Adaptable):
                layer.enable_lora(2, lora_alpha=5)
                for factor in layer.factors:
                    weight = getattr(layer, factor)
                    weight.assign(keras.ops.full(weight.shape, 0.1))
    else:
        STATES[state](model)
    expected = {n: keras.ops.convert_to_numpy(x) for n, x in model(every_input()).items()}
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [w.shape for w in loaded.trainable_weights] == [w.shape for w in model.trainable_weights]
    for name, output in loaded(every_input()).items():
        assert np.isfinite(expected[name]).all(), name
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(output), expected[name], name)
