"""One small training run, on one device or shared; started as a program, one of two processes."""

import sys

import keras
import numpy as np
from tiny_models import tiny_clip, tiny_pairs

from keras_clip.models.deferred_weights import deferred_weights

GLOBAL_BATCH, STEPS = 8, 3
WIDE = {"hidden_dim": 16, "num_heads": 4, "mlp_dim": 32}
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.05),
    # An epsilon far above rounding: a gradient of 1e-9 decides nothing by its sign.
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


def share(index, count):
    """The rows of every global batch that one of `count` processes feeds."""
    return {
        name: np.concatenate(np.split(rows, STEPS * count)[index::count])
        for name, rows in tiny_pairs(GLOBAL_BATCH * STEPS).items()
    }


class Losses(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(logs["loss"])


def train(clip, optimizer="sgd", index=0, count=1, **compiling):
    """Three steps of `fit`: {"losses": (3,)}, the running mean after each step."""
    losses, rows = Losses(), share(index, count)
    clip.compile(OPTIMIZERS[optimizer](), **compiling)
    size = GLOBAL_BATCH // count
    clip.fit(rows, batch_size=size, shuffle=False, verbose=0, callbacks=[losses])
    return {"losses": np.array(losses.seen)}


def weights(clip):
    """All weights by their number, as NumPy."""
    return {f"weight_{i}": w for i, w in enumerate(clip.get_weights())}


def results(clip, index=0, count=1):
    """What a run leaves: predictions before, losses, evaluation and weights after."""
    predicted = clip.predict(tiny_pairs(GLOBAL_BATCH), batch_size=4, verbose=0)
    trained = train(clip, "sgd", index, count)
    size = GLOBAL_BATCH // count
    loss = clip.evaluate(share(index, count), batch_size=size, verbose=0)
    return {**predicted, **trained, "evaluated": np.array(loss), **weights(clip)}


def main(folder):
    from keras_clip.train import hosts

    index, count = hosts.initialize()
    assert (count, len(keras.distribution.list_devices())) == (2, 4)
    clip = build()
    np.savez(f"{folder}/{index}.npz", **results(clip, index, count))
    if index == 0:
        clip.save_to_preset(f"{folder}/preset")


if __name__ == "__main__":
    main(*sys.argv[1:])
