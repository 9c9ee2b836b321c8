#!/usr/bin/env bash
# A loss of probabilities in float16 should be near the float32 one, and finite.
# Keras 3.15.1's functions guard with 1e-7, which float16 cannot add to 1 nor divide by: the KL
# divergence of a confident mistake is infinite, while the classes compute in float32 and are right.
set -euo pipefail

away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
cd "$away"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -qq --disable-pip-version-check keras==3.15.1 jax==0.10.2 numpy==2.4.6

env -u PYTHONPATH KERAS_BACKEND=jax venv/bin/python - <<'PYTHON'
import warnings

import keras
import numpy as np

warnings.simplefilter("ignore")
true, predicted = np.array([[0, 1]], "float32"), np.array([[1, 0]], "float32")
seen = {}
for name in ("float32", "float16"):
    arrays = true.astype(name), predicted.astype(name)
    seen[name] = float(keras.losses.kl_divergence(*arrays)[0])
inside = float(keras.losses.KLDivergence()(true.astype("float16"), predicted.astype("float16")))
print(f"Keras {keras.__version__}: kl_divergence {seen}, KLDivergence of float16 {inside:.2f}")
assert np.isclose(seen["float32"], 16.118, atol=0.01) and np.isinf(seen["float16"])
assert np.isclose(inside, 16.118, atol=0.01)
PYTHON
