#!/usr/bin/env bash
# A loss, metric or initializer that is saved with its model should come back as it was.
# In Keras 3.15.1 some configurations leave arguments out: after save and load, Huber has its delta
# of 1 again, cosines run over the last axis, and Identity has a gain of 1. Nothing warns.
set -euo pipefail

away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
cd "$away"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -qq --disable-pip-version-check keras==3.15.1 jax==0.10.2 numpy==2.4.6

env -u PYTHONPATH KERAS_BACKEND=jax venv/bin/python - <<'PYTHON'
import keras
import numpy as np

model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
model.compile(loss=keras.losses.Huber(delta=5.0))
x, y = np.ones((4, 1), "float32"), np.full((4, 1), 10.0, "float32")
before = model.evaluate(x, y, verbose=0)
model.save("model.keras")
after = keras.saving.load_model("model.keras").evaluate(x, y, verbose=0)
print(f"Keras {keras.__version__}: Huber(delta=5) is {before} before saving and {after} after")
assert (before, after) == (37.5, 9.5)

lost = []
for made, argument in [
    (keras.losses.CosineSimilarity(axis=1), "axis"),
    (keras.losses.SparseCategoricalCrossentropy(axis=1), "axis"),
    (keras.metrics.CosineSimilarity(axis=1), "axis"),
    (keras.initializers.Identity(gain=3.0), "gain"),
    (keras.losses.MeanSquaredError(dtype="float64"), "dtype"),
]:
    if argument not in made.get_config():
        lost.append(f"{type(made).__name__}.{argument}")
print("not in the configuration either:", ", ".join(lost))
assert len(lost) == 5, lost
again = keras.initializers.Identity.from_config(keras.initializers.Identity(gain=3.0).get_config())
assert np.asarray(again((2, 2))).tolist() == [[1.0, 0.0], [0.0, 1.0]]
PYTHON
