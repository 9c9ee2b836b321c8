"""A training step of ViT-B/32's image tower with and without patch dropout, on each backend.

python benchmarks/patch_dropout.py [--backends jax torch] [--rounds 7] [--batch 32] [--rate 0.5]

A step is forward, backward and AdamW. Both models live in one process and take turns, so that a
change in the machine's speed meets both; the ratio is the median over the rounds of without / with.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

BACKENDS = ("jax", "tensorflow", "torch")


def measure(options):
    """Time both models in this process and print a row."""
    import keras
    import numpy as np

    from keras_clip.models.config import ViTConfig
    from keras_clip.models.towers import VisionTower
    from keras_clip.train.flops import forward_flops
    from keras_clip.train.optimizer import AdamW

    images = np.random.default_rng(0).normal(size=(options.batch, 224, 224, 3)).astype("float32")
    targets = np.zeros((options.batch, 512), "float32")
    steps, flops = {}, {}
    for rate in (0.0, options.rate):
        config = ViTConfig(
            768, 12, 12, 3072, 32, activation="quick_gelu", use_patch_bias=False,
            use_norm_pre=True, projection_dim=512, patch_dropout_rate=rate,
        )  # fmt: skip
        tower = VisionTower(config)
        tower.compile(AdamW(1e-5), "mse")
        steps[rate] = tower.train_on_batch
        flops[rate] = forward_flops(config, training=True)
        for _ in range(2):
            steps[rate](images, targets)
    times = {rate: [] for rate in steps}
    for _ in range(options.rounds):
        for rate, step in steps.items():
            start = time.perf_counter()
            float(step(images, targets))
            times[rate].append(time.perf_counter() - start)
    whole, part = (statistics.median(times[rate]) for rate in steps)
    ratio = statistics.median(a / b for a, b in zip(*times.values(), strict=True))
    wanted = flops[0.0] / flops[options.rate]
    cells = f"{whole:.2f} s | {part:.2f} s | {ratio:.2f}x | {wanted:.2f}x"
    print(f"| {keras.backend.backend()} | {cells} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description="A training step with and without patch dropout.")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        measure(options)
        return
    print(f"| backend | all patches | {1 - options.rate:.0%} of them | ratio | in FLOPs |")
    print("|---|--:|--:|--:|--:|", flush=True)
    failed = []
    for backend in options.backends:
        environment = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, __file__, *sys.argv[1:], "--here"]
        if subprocess.call(command, env={**os.environ, **environment}):
            failed.append(backend)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
