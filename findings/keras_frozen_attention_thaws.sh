#!/usr/bin/env bash
# A layer with trainable=False should be frozen in the file as well.
# A layer that holds other layers comes back from Keras 3.15.1 with trainable=False, while the model
# trains the weights of the layers inside of it; a plain Dense stays frozen. MultiHeadAttention is
# such a layer: two weights trained before, ten after.
set -euo pipefail

away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
cd "$away"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -qq --disable-pip-version-check keras==3.15.1 jax==0.10.2 numpy==2.4.6

env -u PYTHONPATH KERAS_BACKEND=jax venv/bin/python - <<'PYTHON'
import keras

x = keras.Input((5, 8))
attention = keras.layers.MultiHeadAttention(2, 4, trainable=False)
plain = keras.layers.Dense(8, trainable=False)
model = keras.Model(x, keras.layers.Dense(1)(plain(attention(x, x))))
attention.trainable = False
counts = [len(model.trainable_weights)]
model.save("model.keras")
loaded = keras.saving.load_model("model.keras")
counts.append(len(loaded.trainable_weights))
flags = [layer.trainable for layer in loaded.layers[1:3]]
print(f"Keras {keras.__version__}: {counts[0]} weights train, {counts[1]} after loading; flags {flags}")
assert counts == [2, 10] and flags == [False, False]
PYTHON
