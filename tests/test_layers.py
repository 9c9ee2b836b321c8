"""Laws that every layer keeps: configuration, saving, shapes, training, precision, compilation."""

import inspect

import keras
import numpy as np
import pytest
from layer_cases import CASES, every_input, every_layer

from keras_clip import layers

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
BASE = {"name", "trainable", "dtype"}
ALWAYS_FLOAT32 = (layers.LogitScale, layers.UnitNorm)


def as_numpy(x):
    return keras.ops.convert_to_numpy(keras.ops.cast(x, "float32"))


def test_every_layer_has_a_case():
    assert {case.kind.__name__ for case in CASES.values()} == set(layers.__all__)


@every_case
def test_config_is_the_signature(case):
    layer = case.make()
    arguments = set(inspect.signature(case.kind.__init__).parameters) - {"self", "args", "kwargs"}
    assert set(layer.get_config()) == arguments | BASE
    for name, value in case.arguments.items():
        assert layer.get_config()[name] in (value, (value, value))  # an int stands for a pair
    again = case.kind.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


@every_case
def test_shapes_agree_and_the_batch_is_free(case):
    layer = case.make()
    symbols = case.symbols()
    symbolic = tuple(layer(*symbols).shape)
    assert tuple(layer.compute_output_shape(*(tuple(x.shape) for x in symbols))) == symbolic
    arrays = case.arrays(3)
    eager = tuple(layer(*arrays).shape)
    assert tuple(layer.compute_output_shape(*(a.shape for a in arrays))) == eager
    assert all(s in (None, e) for s, e in zip(symbolic, eager, strict=True))


def test_saved_and_loaded(tmp_path):
    model = every_layer()
    expected = model.predict_on_batch(every_input())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for name, output in loaded.predict_on_batch(every_input()).items():
        np.testing.assert_array_equal(output, expected[name], err_msg=name)
        assert loaded.get_layer(name).get_config() == model.get_layer(name).get_config()


def test_one_step_trains_every_weight():
    model = every_layer(dense=True)
    inputs = every_input(4)
    targets = {
        name: np.ones((4, *(4 if side is None else side for side in output.shape[1:])), "float32")
        for name, output in model.output.items()
    }
    before = [as_numpy(weight) for weight in model.trainable_variables]
    model.compile(keras.optimizers.Adam(0.01), dict.fromkeys(CASES, "mse"))
    history = model.fit(inputs, targets, batch_size=4, verbose=0).history
    assert all(np.isfinite(loss[0]) and loss[0] > 0 for loss in history.values())
    for old, weight in zip(before, model.trainable_variables, strict=True):
        if weight.path.endswith("key/bias"):
            continue  # a softmax does not see what is added to all its inputs
        new = as_numpy(weight)
        assert np.isfinite(new).all() and (new != old).any(), weight.path


@every_case
def test_constraints_are_serialised_as_those_of_keras(case):
    layer = case.make()
    layer(*case.arrays())
    for weight in layer.weights:
        if weight.constraint is not None:  # a bare function is refused by Keras before 3.15
            assert isinstance(weight.constraint, keras.constraints.Constraint), weight.path
            config = keras.constraints.serialize(weight.constraint)
            again = keras.constraints.deserialize(config)
            assert type(again) is type(weight.constraint)
            assert again.get_config() == weight.constraint.get_config()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    reference, mixed = every_layer(), every_layer(dtype=policy)
    mixed.set_weights(reference.get_weights())
    assert {str(weight.dtype) for weight in mixed.trainable_variables} == {"float32"}
    expected = reference.predict_on_batch(every_input())
    outputs = mixed.predict_on_batch(every_input())
    tolerance = 0.01 if policy == "mixed_float16" else 0.05
    for name, case in CASES.items():
        wanted = "float32" if case.kind in ALWAYS_FLOAT32 else policy.removeprefix("mixed_")
        assert keras.backend.standardize_dtype(mixed.output[name].dtype) == wanted, name
        assert keras.backend.standardize_dtype(outputs[name].dtype) == wanted, name
        np.testing.assert_allclose(
            outputs[name].astype("float32"),
            expected[name],
            atol=tolerance * np.abs(expected[name]).max(),
            rtol=0,
            err_msg=name,
        )


def test_compiled(backend):
    if backend == "torch":
        pytest.skip("Keras runs torch eagerly")
    model, inputs = every_layer(), every_input()
    expected = model(inputs)
    if backend == "jax":
        import jax

        trained = [v.value for v in model.trainable_variables]
        other = [v.value for v in model.non_trainable_variables]
        outputs, _ = jax.jit(model.stateless_call)(trained, other, inputs)
    else:
        import tensorflow as tf

        outputs = tf.function(model, jit_compile=True)(inputs)
    for name, output in outputs.items():
        wanted = as_numpy(expected[name])
        np.testing.assert_allclose(
            as_numpy(output), wanted, atol=1e-5 * np.abs(wanted).max(), rtol=0, err_msg=name
        )
