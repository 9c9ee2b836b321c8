"""SIGKILL at random moments and at each change to the disk: weights end the same to the bit."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.slow  # some fifty processes that train


def runs(repository, folder, backend, *arguments):
    """What `checkpoint_runs.py` says."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": f"{repository}:{repository / 'tests'}",
        "OMP_NUM_THREADS": "1",
        # Only the first process compiles; all then run the same instructions.
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    script = [sys.executable, repository / "tests" / "checkpoint_runs.py", folder]
    command = [*map(str, [*script, *arguments])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_all_as_whole(folder):
    """Return how many runs of a folder ended with the arrays of the uninterrupted one."""
    with np.load(folder / "whole.npz") as whole:
        names = [name for name in whole.files if name.startswith("arr_")]
        ended = list(folder.glob("run_*.npz"))
        for path in ended:
            with np.load(path) as resumed:
                for name in names:
                    np.testing.assert_array_equal(resumed[name], whole[name], err_msg=str(path))
    assert len(names) >= 10
    return len(ended)


def test_killed_20_times_at_random_moments(repository, tmp_path, backend):
    # On torch a process trains within a tenth of the time that JAX needs to compile.
    said = runs(repository, tmp_path, "torch", 20, 0)
    print(said)
    assert said["killed"] == 20 and assert_all_as_whole(tmp_path) == said["runs"]


def test_killed_three_times_on_this_backend(repository, tmp_path, backend):
    said = runs(repository, tmp_path, backend, 3, 1)
    print(said)
    assert said["killed"] == 3 and assert_all_as_whole(tmp_path) == said["runs"]


def test_killed_at_each_change_to_the_disk(repository, tmp_path):
    said = runs(repository, tmp_path, "torch", "moments")
    assert assert_all_as_whole(tmp_path) == said["moments"] > 30
