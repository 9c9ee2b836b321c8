"""`import keras_clip` is cheap and never pulls in a backend that Keras does not run on."""

import json
import os
import subprocess
import sys

import pytest

BACKENDS = {"jax", "tensorflow", "torch"}
MAY_ADD_SECONDS = 0.3

PROBE = """
import json, sys, time
import keras
before = set(sys.modules)
start = time.perf_counter()
import keras_clip
seconds = time.perf_counter() - start
{more}
print(json.dumps([seconds, sorted(before), sorted(sys.modules)]))
"""

EVERY_MODULE = """
import importlib, pkgutil
for module in pkgutil.walk_packages(keras_clip.__path__, "keras_clip."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


def probe(backend, more=""):
    """Seconds that the import took, and the backends imported before and after it."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(more=more)],
        env=dict(os.environ, KERAS_BACKEND=backend),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    seconds, before, after = json.loads(done.stdout.splitlines()[-1])
    return seconds, BACKENDS & set(before), BACKENDS & set(after)


@pytest.mark.parametrize("more", ["", EVERY_MODULE], ids=["face", "every_module"])
def test_no_other_backend_is_imported(backend, more):
    _, by_keras, by_us = probe(backend, more)
    assert by_us == by_keras
    unwanted = {"jax": {"tensorflow", "torch"}, "torch": {"tensorflow"}, "tensorflow": set()}
    assert not by_us & unwanted[backend]


@pytest.mark.speed
def test_import_adds_little_to_that_of_keras(backend):
    seconds = []
    for _ in range(5):  # a busy machine only ever adds to the time, so one quick run is proof
        seconds.append(probe(backend)[0])
        if seconds[-1] <= MAY_ADD_SECONDS:
            return
    pytest.fail(f"import keras_clip adds {min(seconds):.2f} s, allowed are {MAY_ADD_SECONDS} s")
