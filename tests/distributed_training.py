"""One small training run, on one device or shared by several; a test starts it as a program."""

import sys

import keras
import numpy as np
from tiny_models import tiny_clip, tiny_pairs

import keras_clip
from keras_clip.models.deferred_weights import deferred_weights
from keras_clip.train import Checkpoints, hosts

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
        clip = tiny_clip(text={**WIDE, "vocabulary_size": 604}, **WIDE)
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


def train(clip, optimizer, index=0, count=1, chunk_size=None, callbacks=()):
    """Three steps of `fit`; returns the losses."""
    losses = Losses()
    clip.compile(OPTIMIZERS[optimizer](), chunk_size=chunk_size)
    clip.fit(share(index, count), batch_size=BATCH // count, shuffle=False, verbose=0,
             callbacks=[losses, *callbacks])  # fmt: skip
    return np.array(losses.seen)


def results(clip, optimizers, index=0, count=1, chunk_size=None):
    """An evaluation, then losses and weights of each optimizer."""
    clip.compile("sgd")
    loss = clip.evaluate(share(index, count), batch_size=BATCH // count, verbose=0)
    found, begun = {"evaluated": np.array(loss)}, clip.get_weights()
    for name in optimizers:
        clip.set_weights(begun)
        found[f"{name}_losses"] = train(clip, name, index, count, chunk_size)
        found.update({f"{name}_weight_{i}": w for i, w in enumerate(clip.get_weights())})
    return found


def predictions(clip):
    """Outputs for the first batch."""
    return clip.predict(tiny_pairs(BATCH), batch_size=4, verbose=0)


def one_device():
    """What all others are compared with."""
    clip = build()
    return {**predictions(clip), **results(clip, OPTIMIZERS)}


def two_processes(folder):
    """Data parallelism: 2 processes of 2 devices each."""
    index, count = hosts.initialize()
    assert (count, len(keras.distribution.list_devices())) == (2, 4)
    clip = build()
    np.savez(f"{folder}/{index}.npz", **results(clip, ["sgd"], index, count))
    if index == 0:
        clip.save_to_preset(f"{folder}/preset")


def share_weights(shape):
    """Let Keras lay weights out on a mesh of this shape, as a user does; returns the layouts."""
    mesh = keras.distribution.DeviceMesh(shape, ("data", "model"))
    layouts = keras_clip.layout_map(build(), mesh)
    distribution = keras.distribution.ModelParallel(
        layout_map=layouts, batch_dim_name="data", auto_shard_dataset=False
    )
    keras.distribution.set_distribution(distribution)
    return layouts


def two_processes_share_weights(folder):
    """Model and data parallelism: each weight is in two parts, which both processes have."""
    index, count = hosts.initialize()
    share_weights((2, 2))
    clip = build()
    losses = train(clip, "adamw", index, count, callbacks=[Checkpoints(folder, every=STEPS)])
    np.savez(f"{folder}/{index}.npz", adamw_losses=losses)


def shards(variable):
    """Bytes of a variable on each device."""
    return [shard.data.nbytes for shard in variable.value.addressable_shards]


def check_shards(clip, layouts):
    """Raise unless each of 8 devices has its part of the weights and of AdamW's averages."""
    for weight in clip.weights:
        part = 1 if layouts[weight.path] is None else 4
        assert shards(weight) == 8 * [weight.value.nbytes // part], weight.path
    # AdamW has two more numbers a weight, which lie where the weight does.
    slots = [v for v in clip.optimizer.variables if v.path.endswith(("_momentum", "_velocity"))]
    assert sorted(map(shards, slots)) == sorted(2 * list(map(shards, clip.trainable_weights)))


def eight_devices(folder):
    """Model parallelism: 4 devices share the weights, twice over."""
    layouts = share_weights((2, 4))
    clip = build()
    found = {**predictions(clip), "adamw_losses": train(clip, "adamw")}
    check_shards(clip, layouts)
    found.update({f"adamw_weight_{i}": w for i, w in enumerate(clip.get_weights())})
    np.savez(f"{folder}/8.npz", **found)
    clip.save_to_preset(f"{folder}/sharded")


def eight_devices_in_chunks(folder):
    """The same, of a batch of 8 at most 4 pairs at a time."""
    share_weights((2, 4))
    np.savez(f"{folder}/chunks.npz", **results(build(), ["sgd"], chunk_size=4))


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
