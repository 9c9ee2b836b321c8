#!/usr/bin/env bash
# A layer whose weights the model counts and trains should be in the file that the model saves.
# Keras 3.12.0 to 3.14.1 does not look into a list inside of a tuple or list: the file has no weights of
# layers there, saving and loading say nothing, and they are as new. 3.15.0 keeps them.
set -euo pipefail

away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
cd "$away"
"${PYTHON:-python3}" -m venv venv

cat >nested.py <<'PYTHON'
import sys

import keras
import numpy as np


@keras.saving.register_keras_serializable()
class Branches(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.branches = ([keras.layers.Dense(3)], [keras.layers.Dense(3)])

    def call(self, x):
        return sum(layer(x) for branch in self.branches for layer in branch)


x = np.ones((1, 2), "float32")
model = keras.Sequential([keras.Input((2,)), Branches()])
model(x)
model.save("model.keras")
loaded = keras.saving.load_model("model.keras")
kept = np.allclose(loaded(x), model(x))
print(f"Keras {keras.__version__}: {len(model.trainable_weights)} weights train; kept: {kept}")
assert len(model.trainable_weights) == 4 and kept == (sys.argv[1] == "kept")
PYTHON
for expected in "3.12.0 lost" "3.14.1 lost" "3.15.0 kept"; do
  read -r version fate <<<"$expected"
  venv/bin/python -m pip install -qq --disable-pip-version-check \
    keras==$version jax==0.10.2 numpy==2.4.6
  env -u PYTHONPATH KERAS_BACKEND=jax venv/bin/python -W ignore nested.py "$fate"
done
