#!/usr/bin/env bash
# Builds the wheel, installs it with one backend into a clean environment outside the checkout, runs
# the demo there, and proves that no other backend came along.
set -euo pipefail
cd "$(dirname "$0")/.."

make wheel
wheel=$(realpath dist/keras_clip-*.whl)
away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
"${PYTHON:-python3}" -m venv "$away/venv"
cd "$away"
venv/bin/python -m pip install -qq --disable-pip-version-check "$wheel[jax]"

echo "demo from the wheel, in $away:"
# Keras's default is tensorflow, so this also shows that the command picks what is installed.
env -u KERAS_BACKEND -u PYTHONPATH KERAS_HOME="$away/keras" HF_HUB_OFFLINE=1 \
  venv/bin/keras-clip demo

env -u PYTHONPATH KERAS_BACKEND=jax venv/bin/python - <<'PYTHON'
import importlib.util
import pathlib

import keras_clip

home = pathlib.Path(keras_clip.__file__)
assert "site-packages" in home.parts, home
for name in ("torch", "tensorflow", "keras_hub", "transformers", "matplotlib"):
    assert importlib.util.find_spec(name) is None, f"{name} is installed"
for name in ("tests", "benchmarks", "zoo"):
    assert importlib.util.find_spec(name) is None, f"the wheel brings a top-level {name}"
print(f"keras-clip {keras_clip.__version__} runs from {home.parent} without torch or tensorflow")
PYTHON
