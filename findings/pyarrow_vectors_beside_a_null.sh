#!/usr/bin/env bash
# Row i of a column of vectors should be row i of the matrix that NumPy gets from it.
# In PyArrow 26.0.1 `flatten` drops rows that are null, so that later vectors move up, and `values`
# keeps them but goes back to the start of the column where a slice of it was asked for.
set -euo pipefail

away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
cd "$away"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -qq --disable-pip-version-check pyarrow==26.0.1 numpy==2.4.6

env -u PYTHONPATH venv/bin/python - <<'PYTHON'
import pyarrow as pa

pairs = pa.list_(pa.float32(), 2)
column = pa.array([[1.0, 1.0], None, [3.0, 3.0], [4.0, 4.0]], pairs)
flat = column.flatten().to_numpy().reshape(-1, 2)
print(f"PyArrow {pa.__version__}: {len(column)} rows, flatten gives {len(flat)}; [2] is {flat[2]}")
assert len(flat) == 3 and flat[2].tolist() == [4.0, 4.0]

whole = pa.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]], pairs)
last = whole[2:]
values = last.values.to_numpy().reshape(-1, 2)
print(f"a slice of {len(last)} row has {len(values)} rows of values, the first {values[0]}")
assert len(last) == 1 and len(values) == 3 and values[0].tolist() == [1.0, 1.0]
assert last.flatten().to_pylist() == [3.0, 3.0]
PYTHON
