#!/usr/bin/env bash
# The median of -30000 and 30000 is 0, and no percentile lies outside the values.
# NumPy 2.4.6 subtracts neighbours in the type of the array: percentiles of int8 (quantised
# embeddings), int16 (sound) and float16 wrap or become infinite, while np.median is right.
set -euo pipefail

away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
cd "$away"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -qq --disable-pip-version-check numpy==2.4.6

env -u PYTHONPATH venv/bin/python - <<'PYTHON'
import warnings

import numpy as np

warnings.simplefilter("ignore")
quarters = [25, 50, 75]
seen = {}
for name, values in {"int8": [-128, 127], "int16": [-30000, 30000], "float16": [-6e4, 6e4]}.items():
    array = np.array(values, name)
    seen[name] = np.percentile(array, quarters).tolist()
    right = np.percentile(array.astype("float64"), quarters).tolist()
    print(f"NumPy {np.__version__} {name}: {seen[name]}, right is {right}; {np.median(array)=}")
    assert np.median(array) == right[1]
assert seen["int8"] == [-128.25, 127.5, 127.25], seen
assert seen["int16"] == [-31384.0, 32768.0, 31384.0], seen
assert not np.isfinite(seen["float16"]).any(), seen
PYTHON
