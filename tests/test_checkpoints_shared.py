"""Checkpoints of weights that several devices and processes hold, wholly or in parts."""

import os
import pathlib
import subprocess
import sys

import keras
import pytest
from test_distribution import coordinator, finished

pytestmark = pytest.mark.slow  # processes that import JAX


def begun(folder, devices, *kinds, **variables):
    """`checkpoint_shared.py` as a process of so many CPU devices."""
    tests = pathlib.Path(__file__).parent
    environment = {
        **os.environ,
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} "
        "--xla_backend_optimization_level=0",
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "PYTHONPATH": str(tests.parent),
        **variables,
    }
    command = [sys.executable, str(tests / "checkpoint_shared.py"), str(folder), *kinds]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture(autouse=True)
def _on_jax():
    if keras.backend.backend() != "jax":
        pytest.skip("Keras distributes on JAX only")


def test_weights_in_parts_on_eight_devices_are_resumed_to_the_bit(tmp_path):
    with finished([begun(tmp_path, 8, "model")]):
        pass


def test_two_processes_resume_to_the_bit(tmp_path):
    with finished([begun(tmp_path, 2, "data", "model", **more) for more in coordinator()]):
        pass
