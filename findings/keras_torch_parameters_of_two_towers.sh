#!/usr/bin/env bash
# On the torch backend a Keras model is a torch.nn.Module, whose parameters() should be all weights.
# Keras 3.15.1 keys them by path, and layers of two models inside of one may share their paths: an
# image and a text tower, say. Of such weights only the last is in parameters() and state_dict(),
# so an optimizer of torch's own leaves the others as they are, and torch.save loses them.
set -euo pipefail

away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
cd "$away"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -qq --disable-pip-version-check keras==3.15.1 torch==2.13.0 numpy==2.4.6

env -u PYTHONPATH KERAS_BACKEND=torch venv/bin/python - <<'PYTHON'
import keras
import torch


def tower(name):
    x = keras.Input((4,))
    return keras.Model(x, keras.layers.Dense(3, name="projection")(x), name=name)


images, texts = tower("images"), tower("texts")
left, right = keras.Input((4,)), keras.Input((4,))
model = keras.Model([left, right], keras.layers.Dot(1)([images(left), texts(right)]))
weights, parameters = model.trainable_weights, list(model.parameters())
print(f"Keras {keras.__version__}: {len(weights)} weights, {len(parameters)} parameters,")
print(f"{len(model.state_dict())} in the state: {list(model.state_dict())}")
before = [w.numpy().copy() for w in weights]
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model([torch.rand(2, 4), torch.rand(2, 4)]).sum().backward()
optimizer.step()
moved = [bool((w.numpy() != old).any()) for w, old in zip(weights, before)]
print(f"after a step of torch's SGD, moved: {moved}; all have gradients")
assert all(w.value.grad is not None for w in weights)
assert len(weights) == 4 and len(parameters) == 2 and moved == [False, False, True, True]
PYTHON
