"""Several devices and several processes give the numbers of one device."""

import contextlib
import os
import socket
import subprocess
import sys
from collections import defaultdict

import distributed_training
import keras
import numpy as np
import pytest

import keras_clip
from keras_clip.command.arguments import build_parser
from keras_clip.train import hosts, restore

TESTS = os.path.dirname(__file__)
VARIABLES = (hosts.COORDINATOR, hosts.NUM_PROCESSES, hosts.PROCESS_ID)


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


@contextlib.contextmanager
def finished(processes):
    """Wait in the end for processes; none outlives this, and each must have succeeded."""
    with contextlib.ExitStack() as stack:
        for process in processes:
            stack.enter_context(process)  # waits, once it is killed
            stack.callback(process.kill)
        yield
        for process in processes:
            errors = process.communicate(timeout=400)[1]
            assert not process.returncode, errors


@pytest.fixture(scope="module")
def one():
    """What one device finds."""
    if keras.backend.backend() != "jax":
        pytest.skip("Keras distributes on JAX only")
    return distributed_training.one_device()


@pytest.fixture(scope="module")
def several(request, tmp_path_factory):
    """What each process of several finds, by file, and their folder."""
    if keras.backend.backend() != "jax":
        pytest.skip("Keras distributes on JAX only")
    # Before, messages of two collectives between processes on CPUs could be taken for each other.
    pytest.importorskip("jax", minversion="0.6.2")
    folder = tmp_path_factory.mktemp("several")
    starts = [start("two_processes", folder, 2, **variables) for variables in coordinator()]
    with finished([*starts, start("eight_devices", folder, 8)]):
        request.getfixturevalue("one")  # meanwhile
    return {path.name: dict(np.load(path)) for path in folder.glob("*.npz")}, folder


def compare(run, reference):
    for name, values in run.items():
        np.testing.assert_allclose(values, reference[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("process", ["0.npz", "1.npz"])
def test_two_processes_train_as_one_device(several, one, process):
    found, _ = several
    names = {f"sgd_weight_{i}" for i in range(39)}
    assert set(found[process]) == {"evaluated", "sgd_losses", *names}
    compare(found[process], one)


def test_negatives_are_those_of_all_processes(several, one):
    found, _ = several
    logits = one["logits"].astype("float64")  # of the first batch

    def loss(x):
        return sum(np.log(np.exp(y).sum(1)) - np.diag(y) for y in (x, x.T)).mean() / 2

    everyone, own = loss(logits), (loss(logits[:4, :4]) + loss(logits[4:, 4:])) / 2
    assert abs(everyone - own) > 0.1
    assert found["1.npz"]["sgd_losses"][0] == pytest.approx(everyone, abs=1e-5)


def test_eight_devices_share_the_weights_and_give_the_numbers_of_one(several, one):
    found, _ = several
    names = {name for name in one if not name.startswith("sgd")}
    assert set(found["8.npz"]) == names - {"evaluated"}
    compare(found["8.npz"], one)


@pytest.mark.parametrize("name, optimizer", [("preset", "sgd"), ("sharded", "adamw")])
def test_what_several_devices_saved_is_whole(several, one, name, optimizer):
    clip = keras_clip.from_preset(several[1] / name)
    compare({f"{optimizer}_weight_{i}": w for i, w in enumerate(clip.get_weights())}, one)


@pytest.mark.slow
def test_chunks_of_shared_weights_give_the_numbers_of_one_device(one, tmp_path):
    with finished([start("eight_devices_in_chunks", tmp_path, 8)]):
        pass
    found = np.load(tmp_path / "chunks.npz")
    assert "sgd_losses" in found
    compare(found, one)


@pytest.mark.slow
def test_a_checkpoint_of_weights_that_processes_share_becomes_a_whole_model(one, tmp_path):
    both = [start("two_processes_share_weights", tmp_path, 2, **more) for more in coordinator()]
    with finished(both):
        pass
    for process in ("0.npz", "1.npz"):
        compare(np.load(tmp_path / process), one)
    clip = distributed_training.build()
    clip.compile(distributed_training.OPTIMIZERS["adamw"]())
    assert restore(clip, tmp_path) == distributed_training.STEPS
    compare({f"adamw_weight_{i}": w for i, w in enumerate(clip.get_weights())}, one)


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
    for name, value in zip(VARIABLES, (coordinator, count, index), strict=True):
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


def test_launchers_say_what_is_read(repository):
    yaml = pytest.importorskip("yaml")
    text = (repository / "examples" / "kubernetes_train.yaml").read_text("utf-8")
    service, job = yaml.safe_load_all(text)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    variables = {one["name"]: one.get("value") for one in container["env"]}
    assert set(variables) == {"KERAS_BACKEND", *VARIABLES}
    assert variables[hosts.NUM_PROCESSES] == str(job["spec"]["completions"])
    first = f"{job['metadata']['name']}-0.{service['metadata']['name']}:"
    assert variables[hosts.COORDINATOR].startswith(first)
    assert pod["subdomain"] == service["metadata"]["name"]
    slurm = repository / "examples" / "slurm_train.sh"
    subprocess.run(["bash", "-n", slurm], check=True)
    command = slurm.read_text("utf-8").splitlines()[-1].removeprefix("srun keras-clip ")
    parser = build_parser(defaultdict(str))
    for arguments in (container["command"][1:], command.replace('"', "").split()):
        options = parser.parse_args(arguments)
        assert options.recipe and options.output
