"""One small training run, on one device or shared by several; a test starts it as a program."""

import sys

import keras
import numpy as np
from tiny_models import tiny_clip, tiny_pairs

import keras_clip
from keras_clip.models.deferred_weights import deferred_weights
from keras_clip.train import hosts

BATCH, STEPS = 8, 3
WIDE = {"hidden_dim": 16, "num_heads": 4, "mlp_dim": 32}
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.05),
    # With an epsilon far above rounding, the sign of a gradient that is zero decides nothing.
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1, epsilon=1e-3),
}


def build():
    """A CLIP that 4 devices can share, whose weights are random and always the same."""
    with deferred_weights():  # no time goes into drawing what is replaced
        clip = tiny_clip(text=WIDE, **WIDE)
    random = np.random.default_rng(5)
    for weight in clip.weights:
        middle = weight.path.endswith(("gamma", "log_scale"))
        weight.assign(middle + random.normal(0, 0.2, weight.shape))
    return clip


def share(index=0, count=1):
    """The rows of every global batch that one of `count` processes feeds."""
    return {
        name: np.concatenate(np.split(rows, STEPS * count)[index::count])
        for name, rows in tiny_pairs(BATCH * STEPS).items()
    }


class Losses(keras.callbacks.Callback):
    """The mean loss so far, after each step."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(logs["loss"])


def train(clip, optimizer, index=0, count=1, **compiling):
    """Three steps of `fit`; returns what they leave, by name."""
    losses = Losses()
    clip.compile(OPTIMIZERS[optimizer](), **compiling)
    size = BATCH // count
    clip.fit(share(index, count), batch_size=size, shuffle=False, verbose=0, callbacks=[losses])
    weights = {f"{optimizer}_weight_{i}": w for i, w in enumerate(clip.get_weights())}
    return {f"{optimizer}_losses": np.array(losses.seen), **weights}


def results(index=0, count=1, optimizers=OPTIMIZERS):
    """Predictions, then losses and weights of each optimizer, then an evaluation."""
    clip, found = build(), {}
    found.update(clip.predict(tiny_pairs(BATCH), batch_size=4, verbose=0))
    start = clip.get_weights()
    for optimizer in optimizers:
        clip.set_weights(start)
        found.update(train(clip, optimizer, index, count))
    loss = clip.evaluate(share(index, count), batch_size=BATCH // count, verbose=0)
    return {**found, "evaluated": np.array(loss)}, clip


def two_processes(folder):
    """Data parallelism: 2 processes of 2 devices each."""
    index, count = hosts.initialize()
    assert (count, len(keras.distribution.list_devices())) == (2, 4)
    found, clip = results(index, count, ["sgd"])
    np.savez(f"{folder}/{index}.npz", **found)
    if index == 0:
        clip.save_to_preset(f"{folder}/preset")


def shards(variable):
    """Bytes of a variable on each device."""
    return [shard.data.nbytes for shard in variable.value.addressable_shards]


def eight_devices(folder):
    """Model parallelism: 4 devices share the weights, twice over."""
    mesh = keras.distribution.DeviceMesh((2, 4), ("data", "model"))
    layouts = keras_clip.layout_map(build(), mesh)
    distribution = keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="data")
    keras.distribution.set_distribution(distribution)
    found, clip = results()
    for weight in clip.weights:
        part = 1 if layouts[weight.path] is None else 4
        assert shards(weight) == 8 * [weight.value.nbytes // part], weight.path
    # AdamW has two more numbers a weight, which lie where the weight does.
    slots = [v for v in clip.optimizer.variables if v.path.endswith(("_momentum", "_velocity"))]
    assert sorted(map(shards, slots)) == sorted(2 * list(map(shards, clip.trainable_weights)))
    np.savez(f"{folder}/8.npz", **found)
    clip.save_to_preset(f"{folder}/sharded")


if __name__ == "__main__":
    {"two_processes": two_processes, "eight_devices": eight_devices}[sys.argv[1]](sys.argv[2])
