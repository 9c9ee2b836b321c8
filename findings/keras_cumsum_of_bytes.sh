#!/usr/bin/env bash
# A running sum of uint8 counts on, as NumPy's does, whatever backend Keras runs on.
# With Keras 3.15.1 `ops.cumsum` and `ops.cumprod` keep the type on JAX and wrap at 256, whereas
# `ops.sum` widens: cumulative histograms and positions from masks are wrong past 255.
set -euo pipefail

away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
cd "$away"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -qq --disable-pip-version-check keras==3.15.1 jax==0.10.2 numpy==2.4.6

env -u PYTHONPATH KERAS_BACKEND=jax venv/bin/python - <<'PYTHON'
import jax
import keras
import numpy as np

mask = np.ones(300, "uint8")
tensor = keras.ops.convert_to_tensor(mask)
last, total = int(keras.ops.cumsum(tensor)[-1]), int(keras.ops.sum(tensor))
print(f"Keras {keras.__version__}, JAX {jax.__version__}: cumsum ends at {last}, sum is {total}")
assert int(np.cumsum(mask)[-1]) == 300
assert (last, total) == (300 % 256, 300)
product = np.asarray(keras.ops.cumprod(keras.ops.convert_to_tensor(np.full(9, 2, "uint8"))))
assert product[-1] == 0 and np.cumprod(np.full(9, 2, "uint8"))[-1] == 512
PYTHON
