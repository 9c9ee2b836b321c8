#!/usr/bin/env bash
# Six rows of which two pairs are linked fall into four groups, whatever integers name the rows.
# SciPy 1.11.1 cannot take a COO array with int64 indices, prints a traceback as "ignored" and
# returns -9999 as the label of every row: six rows of which each equals all others.
set -euo pipefail

away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
cd "$away"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -qq --disable-pip-version-check scipy==1.11.1 numpy==1.26.0

env -u PYTHONPATH venv/bin/python - <<'PYTHON'
import numpy as np
import scipy
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

groups = {}
for kind in ("int32", "int64"):
    one, other = np.array([0, 2], kind), np.array([1, 3], kind)
    graph = coo_array((np.ones(2, bool), (one, other)), shape=(6, 6))
    groups[kind] = connected_components(graph, directed=False)[1].tolist()
print(f"SciPy {scipy.__version__}: {groups}")
assert groups["int32"] == [0, 0, 1, 1, 2, 3], groups
assert groups["int64"] == [-9999] * 6, groups
PYTHON
