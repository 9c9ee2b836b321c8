"""Data parallelism on JAX: two devices give the numbers of one."""

import os
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import keras
import numpy as np
from tiny_models import tiny_clip, tiny_pairs

devices = int(sys.argv[1])
assert len(keras.distribution.list_devices()) == 2
if devices == 2:
    keras.distribution.set_distribution(keras.distribution.DataParallel())
keras.utils.set_random_seed(0)
clip = tiny_clip()
clip.set_weights([np.cos(np.arange(w.size)).reshape(w.shape) / 3 for w in clip.get_weights()])
predicted = clip.predict(tiny_pairs(8), batch_size=4, verbose=0)
clip.compile(keras.optimizers.SGD(0.1))
loss = clip.fit(tiny_pairs(8), batch_size=8, shuffle=False, verbose=0).history["loss"]
weights = {{str(i): w for i, w in enumerate(clip.get_weights())}}
np.savez(sys.argv[2], loss=loss, **predicted, **weights)
"""


def run(devices, path, repository):
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PYTHONPATH": str(repository),
    }
    script = SCRIPT.format(tests=str(repository / "tests"))
    subprocess.run(
        [sys.executable, "-c", script, str(devices), str(path)],
        check=True,
        env=environment,
        timeout=500,
    )
    return np.load(path)


def test_two_devices_give_the_numbers_of_one(backend, repository, tmp_path):
    if backend != "jax":
        pytest.skip("Keras distributes on JAX only")
    one, two = (run(n, tmp_path / f"{n}.npz", repository) for n in (1, 2))
    assert set(one) == set(two)
    for name in one:
        np.testing.assert_allclose(two[name], one[name], atol=1e-5, rtol=1e-5, err_msg=name)
