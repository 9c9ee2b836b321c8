"""A run on several devices, stopped, resumed and compared with a whole one; a test starts it."""

import sys

import keras
import numpy as np
from checkpoint_models import Rows, StopAfter, fit, names, small_model

from keras_clip.train import Checkpoints, hosts, restore


class Share(Rows):
    """The rows of each batch that one of several processes feeds."""

    def __init__(self, hosts, start=0):
        super().__init__(start)
        self.hosts = hosts

    def __getitem__(self, index):
        number, count = self.hosts
        x = super().__getitem__(index)[0][number::count]
        return x, np.concatenate([x, -x], axis=1)


def local(model):
    """List of what this process's devices hold."""
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(part.data) for v in variables for part in v.value.addressable_shards]


def model(seed):
    keras.utils.set_random_seed(seed)
    return small_model(units=8)


def check(kind, folder, processes):
    """Raise unless a stopped and resumed run ends as a whole one, and is stored as it should."""
    if kind == "model":
        devices = len(keras.distribution.list_devices())
        mesh = keras.distribution.DeviceMesh((2, devices // 2), ("data", "model"))
        layouts = keras.distribution.LayoutMap(mesh)
        layouts[".*dense/kernel"], layouts[".*dense/bias"] = (None, "model"), ("model",)
        shared = keras.distribution.ModelParallel(
            layout_map=layouts, batch_dim_name="data", auto_shard_dataset=False
        )
        keras.distribution.set_distribution(shared)
    whole = model(0)
    fit(whole, Share(processes))
    fit(model(0), Share(processes), Checkpoints(folder, every=2), StopAfter(5))
    resumed = model(1)
    shardings = [v.value.sharding for v in resumed.trainable_variables]
    assert restore(resumed, folder) == 5
    assert [v.value.sharding for v in resumed.trainable_variables] == shardings
    saving = Checkpoints(folder, every=2)
    fit(resumed, Share(processes, start=5), saving)
    for one, two in zip(local(whole), local(resumed), strict=True):
        np.testing.assert_array_equal(one, two)
    if processes[0] == 0:
        stored = {"model": "state", "data": "state.safetensors"}[kind]
        assert names(saving.directory / "step_00000008") == ["checkpoint.json", stored]
        assert len(names(saving.directory)) == 3


if __name__ == "__main__":
    found = hosts.initialize()  # which sets data parallelism
    for each in sys.argv[2:]:
        check(each, f"{sys.argv[1]}/{each}", found)
