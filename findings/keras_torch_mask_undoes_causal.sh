#!/usr/bin/env bash
# Attention with a mask and is_causal=True sees a position only where both allow it.
# In Keras 3.14.1 (3.12 and 3.13 likewise) `ops.dot_product_attention` on torch drops is_causal as
# soon as a mask is given, so that a text sees its future; JAX keeps both, and 3.15 does on torch.
set -euo pipefail

away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
cd "$away"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -qq --disable-pip-version-check \
  keras==3.14.1 torch==2.13.0 jax==0.10.2 numpy==2.4.6

cat > attend.py <<'PYTHON'
import keras
import numpy as np

query = np.ones((1, 3, 1, 2), "float32")
value = np.array([1.0, 10.0, 100.0], "float32").reshape(1, 3, 1, 1).repeat(2, axis=-1)
mask = np.ones((1, 1, 3, 3), bool)  # nothing is hidden, so that it should change nothing
tensors = [keras.ops.convert_to_tensor(x) for x in (query, query, value)]
for given in (None, keras.ops.convert_to_tensor(mask)):
    mixed = keras.ops.dot_product_attention(*tensors, mask=given, is_causal=True)
    print(keras.ops.convert_to_numpy(mixed)[0, :, 0, 0].round(2).tolist(), end=" ")
print()
PYTHON

jax=$(env -u PYTHONPATH KERAS_BACKEND=jax venv/bin/python attend.py)
torch=$(env -u PYTHONPATH KERAS_BACKEND=torch venv/bin/python attend.py)
echo "Keras 3.14.1, without and with a mask that hides nothing"
echo "JAX:   $jax"
echo "torch: $torch"
[ "$jax" = "[1.0, 5.5, 37.0] [1.0, 5.5, 37.0] " ]
[ "$torch" = "[1.0, 5.5, 37.0] [37.0, 37.0, 37.0] " ]
