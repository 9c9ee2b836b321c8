"""On PyTorch, a model is a module: every weight once, by its name, and a plain loop trains it."""

import keras
import numpy as np
import pytest
from model_places import arrays
from saved_models import MODELS, make

from keras_clip.models.weights import named_weights

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="Keras runs elsewhere")


@pytest.mark.parametrize("state", ["plain", "lora", "int8", "frozen"])
@pytest.mark.parametrize("model", MODELS)
def test_every_weight_once_by_its_name(model, state):
    made = make(model, "alone", state)
    parameters = dict(made.named_parameters())
    assert len(parameters) == len({id(parameter) for parameter in parameters.values()})
    expected = {f"_torch_params.{name}": weight for name, weight in named_weights(made).items()}
    assert set(expected) <= set(made.state_dict())
    for name, weight in expected.items():
        assert made.state_dict()[name].data_ptr() == weight.value.data_ptr(), name
    trained = {id(p) for p in parameters.values() if p.requires_grad}
    assert {id(weight.value) for weight in made.trainable_weights} <= trained


@pytest.mark.parametrize("model", ["clip", "clip_resnet", "zero_shot"])
def test_a_loop_of_torch_trains_and_its_file_is_the_model(model, tmp_path):
    made = make(model, "alone", "plain")
    before = [np.array(keras.ops.convert_to_numpy(w)) for w in made.trainable_weights]
    optimizer = torch.optim.SGD(made.parameters(), lr=0.1)
    outputs = keras.tree.flatten(made(arrays(made), training=True))
    sum((output * torch.arange(output.shape[-1])).sum() for output in outputs).backward()
    optimizer.step()
    for old, weight in zip(before, made.trainable_weights, strict=True):
        gradient = weight.value.grad.numpy()
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(weight), old - 0.1 * gradient, atol=1e-6, err_msg=weight.path
        )
    torch.save(made.state_dict(), tmp_path / "model.pt")
    other = MODELS[model]()
    other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    for name, weight in named_weights(other).items():
        found = keras.ops.convert_to_numpy(named_weights(made)[name])
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), found, name)
