"""Towers leave Keras: SavedModel and ONNX give the numbers of the model they came from."""

import keras
import numpy as np
import pytest
from tiny_models import tiny_clip, tiny_images, tiny_token_ids, tiny_tokenizer, tiny_vit

BATCH = 3


def as_numpy(x):
    return keras.ops.convert_to_numpy(x)


@pytest.fixture(scope="module")
def clip():
    return tiny_clip(tokenizer=tiny_tokenizer())


@pytest.fixture(params=["vision", "text", "zero_shot", "vit"])
def model_and_input(request, clip):
    if request.param == "vit":
        return tiny_vit(num_classes=3), tiny_images(BATCH)
    if request.param == "zero_shot":
        return clip.zero_shot_classifier(["cat", "dog"]), tiny_images(BATCH)
    inputs = tiny_images(BATCH) if request.param == "vision" else tiny_token_ids(BATCH)
    return clip.get_layer(request.param), inputs


def test_saved_model(model_and_input, backend, tmp_path):
    if backend == "torch":
        pytest.skip("Keras writes a SavedModel from torch only with torch_xla")
    tf = pytest.importorskip("tensorflow")
    model, inputs = model_and_input
    model.export(tmp_path / "model", format="tf_saved_model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "model")
    expected = as_numpy(model(inputs))
    np.testing.assert_allclose(loaded.serve(inputs).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(loaded.serve(inputs[:1]).numpy(), expected[:1], atol=1e-5)


@pytest.mark.filterwarnings("ignore:Converting a tensor to a Python")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporter that Keras uses
def test_onnx(model_and_input, backend, tmp_path):
    if backend != "torch":
        pytest.skip("Keras writes ONNX from here only with tf2onnx or jax2onnx")
    pytest.importorskip("ml_dtypes", minversion="0.5")  # onnxscript needs it and does not say so
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    model, inputs = model_and_input
    model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (name,) = (entry.name for entry in session.get_inputs())
    expected = as_numpy(model(inputs))
    for rows in (inputs, inputs[:1]):
        (output,) = session.run(None, {name: rows})
        np.testing.assert_allclose(output, expected[: len(rows)], atol=1e-5)
    if model.name == "text":  # and of any length
        (output,) = session.run(None, {name: inputs[:, :9]})
        np.testing.assert_allclose(output, as_numpy(model(inputs[:, :9])), atol=1e-5)


@pytest.mark.filterwarnings("ignore:Converting a tensor to a Python")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporter that Keras uses
def test_onnx_of_a_whole_clip(clip, backend, tmp_path):
    if backend != "torch":
        pytest.skip("Keras writes ONNX from here only with tf2onnx or jax2onnx")
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    clip.export(tmp_path / "clip.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "clip.onnx")
    for count in (1, BATCH):
        inputs = {"images": tiny_images(count), "token_ids": tiny_token_ids(2)}
        expected = clip(inputs)
        outputs = session.run(None, inputs)  # in the order of the dictionary that a call returns
        for name, output in zip(sorted(expected), outputs, strict=True):
            np.testing.assert_allclose(output, as_numpy(expected[name]), atol=1e-5, err_msg=name)
