"""Several devices and several processes give the numbers of one device."""

import os
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_clip
from keras_clip.train import hosts

TESTS = os.path.dirname(__file__)


def start(mode, folder, devices, **variables):
    """Start `distributed_training.py` as a process of so many CPU devices."""
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("SLURM_")},
        "KERAS_BACKEND": "jax",
        # Tiny models compile longer than they run.
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} "
        "--xla_backend_optimization_level=0",
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "PYTHONPATH": os.path.dirname(TESTS),
        **variables,
    }
    command = [sys.executable, os.path.join(TESTS, "distributed_training.py"), mode, str(folder)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def coordinator():
    """Variables of process 0, which are ours, and of process 1, which are SLURM's."""
    first = 2**16 - 2**12  # JAX derives the port from the number of SLURM's job
    port = next(port for port in range(first + os.getpid() % 2**11, 2**16) if is_free(port))
    ours = {hosts.COORDINATOR: f"localhost:{port}", hosts.NUM_PROCESSES: "2", hosts.PROCESS_ID: "0"}
    slurm = {"JOB_ID": port - first, "STEP_NODELIST": "localhost", "NTASKS": 2, "PROCID": 1,
             "STEP_NUM_TASKS": 2, "STEP_NUM_NODES": 1, "LOCALID": 0}  # fmt: skip
    return ours, {f"SLURM_{name}": str(value) for name, value in slurm.items()}


def is_free(port):
    with socket.socket() as one:
        try:
            one.bind(("", port))
        except OSError:
            return False
    return True


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """{"one", "process 0", "process 1", "eight"}: what each run found, and the folder."""
    if keras.backend.backend() != "jax":
        pytest.skip("Keras distributes on JAX only")
    import distributed_training

    folder = tmp_path_factory.mktemp("runs")
    processes = [start("two_processes", folder, 2, **variables) for variables in coordinator()]
    try:
        processes.append(start("eight_devices", folder, 8))
        found = {"one": distributed_training.results()[0]}
        for process in processes:
            errors = process.communicate(timeout=400)[1]
            assert not process.returncode, errors
    finally:
        for process in processes:
            process.kill()
    for name, file in (("process 0", "0"), ("process 1", "1"), ("eight", "8")):
        found[name] = dict(np.load(folder / f"{file}.npz"))
    return found, folder


def compare(run, reference):
    for name, values in run.items():
        np.testing.assert_allclose(values, reference[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", ["process 0", "process 1"])
def test_two_processes_train_as_one_device(runs, name):
    found, _ = runs
    assert set(found[name]) == {key for key in found["one"] if not key.startswith("adamw")}
    compare({k: v for k, v in found[name].items() if k != "evaluated"}, found["one"])


def test_negatives_are_those_of_all_processes(runs):
    found, _ = runs
    logits = found["process 0"]["logits"].astype("float64")  # of the first batch

    def loss(x):
        return sum(np.log(np.exp(y).sum(1)) - np.diag(y) for y in (x, x.T)).mean() / 2

    everyone, own = loss(logits), (loss(logits[:4, :4]) + loss(logits[4:, 4:])) / 2
    assert abs(everyone - own) > 0.1
    assert found["process 1"]["sgd_losses"][0] == pytest.approx(everyone, abs=1e-5)


def test_eight_devices_share_the_weights_and_give_the_numbers_of_one(runs):
    found, _ = runs
    assert set(found["eight"]) == set(found["one"])
    compare(found["eight"], found["one"])


@pytest.mark.parametrize("name, optimizer", [("preset", "sgd"), ("sharded", "adamw")])
def test_what_several_devices_saved_is_whole(runs, name, optimizer):
    found, folder = runs
    clip = keras_clip.from_preset(folder / name)
    for i, weight in enumerate(clip.get_weights()):
        expected = found["one"][f"{optimizer}_weight_{i}"]
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-5)


def test_one_process_is_alone(monkeypatch):
    assert hosts.initialize() == (0, 1)
    monkeypatch.setenv(hosts.COORDINATOR, "localhost:1234")
    monkeypatch.setenv(hosts.NUM_PROCESSES, "1")
    monkeypatch.setenv(hosts.PROCESS_ID, "0")
    assert hosts.initialize() == (0, 1)


@pytest.mark.parametrize(
    "coordinator, count, index, message",
    [
        ("localhost:1234", "2", None, "PROCESS_ID='' go together: host:port"),
        (None, "2", "0", "COORDINATOR=None"),
        ("localhost:1234", "two", "0", "NUM_PROCESSES='two'"),
        ("localhost:1234", "2", "2", "PROCESS_ID=2 is not below .*NUM_PROCESSES=2"),
    ],
)
def test_variables_that_contradict_each_other(monkeypatch, coordinator, count, index, message):
    names = (hosts.COORDINATOR, hosts.NUM_PROCESSES, hosts.PROCESS_ID)
    for name, value in zip(names, (coordinator, count, index), strict=True):
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        hosts.initialize()


@pytest.mark.parametrize(
    "variable, value", [("SLURM_STEP_NUM_TASKS", "2"), (hosts.COORDINATOR, "auto")]
)
def test_other_backends_refuse_several_processes(backend, monkeypatch, variable, value):
    if backend == "jax":
        pytest.skip("JAX trains in several processes")
    monkeypatch.setenv(variable, value)
    with pytest.raises(RuntimeError, match="on JAX only.*or start one process for " + backend):
        hosts.initialize()
