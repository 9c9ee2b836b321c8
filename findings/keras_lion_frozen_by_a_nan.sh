#!/usr/bin/env bash
# A NaN in a gradient should show: in the weights, as on JAX and NumPy, or as an error.
# With Keras 3.15.1 on torch 2.13.0 Lion's momentum is NaN from then on, and torch's sign of NaN is
# 0: no later step moves the weight, the loss stays finite, and training has ended unnoticed.
set -euo pipefail

away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
cd "$away"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -qq --disable-pip-version-check keras==3.15.1 torch==2.13.0 numpy==2.4.6

env -u PYTHONPATH KERAS_BACKEND=torch venv/bin/python - <<'PYTHON'
import keras
import numpy as np
import torch

weight = keras.Variable(np.ones(3, "float32"))
optimizer = keras.optimizers.Lion(0.1)
optimizer.build([weight])
for step, value in enumerate([1.0, np.nan, 1.0, 1.0, 1.0]):
    optimizer.apply([torch.full((3,), value)])
    if step == 0:
        first = weight.numpy().copy()
last = weight.numpy()
momentum = optimizer.variables[-1].numpy()
print(f"Keras {keras.__version__}, torch {torch.__version__}: {first} after the first step,")
print(f"{last} after a NaN and three good ones; momentum {momentum}")
assert np.allclose(first, 0.9) and (last == first).all() and np.isnan(momentum).all()
assert np.isnan(np.sign(np.float32("nan"))) and torch.sign(torch.tensor(float("nan"))) == 0
PYTHON
