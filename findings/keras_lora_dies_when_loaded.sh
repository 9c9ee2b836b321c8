#!/usr/bin/env bash
# LoRA that is saved and loaded should go on learning where it was.
# Keras 3.15.1 saves the sum of the kernel and its adapters, and sets both factors to zero when it
# loads. The gradient of each is a product with the other, so SGD, or Adam once compiled anew, never
# moves them again; only what moments were saved can push them off zero.
set -euo pipefail

away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
cd "$away"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -qq --disable-pip-version-check keras==3.15.1 jax==0.10.2 numpy==2.4.6

env -u PYTHONPATH KERAS_BACKEND=jax venv/bin/python - <<'PYTHON'
import keras
import numpy as np

keras.utils.set_random_seed(0)
random = np.random.default_rng(0)
x, y = random.normal(size=(64, 8)), random.normal(size=(64, 2))
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2, use_bias=False)])
model.layers[0].enable_lora(2)
model.compile(keras.optimizers.SGD(0.05), "mse")
before = model.fit(x, y, epochs=20, verbose=0).history["loss"]
model.save("model.keras")
loaded = keras.saving.load_model("model.keras")
after = loaded.fit(x, y, epochs=50, verbose=0).history["loss"]
factors = [w.numpy() for w in loaded.trainable_weights]
print(f"Keras {keras.__version__}: the loss falls from {before[0]:.3f} to {before[-1]:.3f};")
print(f"loaded, it stays at {after[0]:.3f} for 50 epochs, and both factors stay 0")
assert before[-1] < 0.98 * before[0] and len(factors) == 2
assert all((factor == 0).all() for factor in factors)
assert max(after) - min(after) < 1e-5 * after[0]  # batches are shuffled
PYTHON
