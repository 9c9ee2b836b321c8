"""The memory that `keras_clip.train.plan` foresees, beside what a training step takes.

python benchmarks/plan.py [--backends jax torch]

Of each small CLIP, how much the peak of a fresh process grows from one batch to a larger one, for
each pair more: what is kept for the backward pass, and the inputs. Weights, gradients, moments and
the compiler's own memory fall out of the difference.
"""

import argparse
import json

from memory import BACKENDS, fresh

BATCHES = (128, 384)
MODELS = {
    "4 blocks of 128": {"width": 128, "layers": 4, "patch": 4, "activation": "gelu"},
    "2 blocks of 256": {"width": 256, "layers": 2, "patch": 8, "activation": "quick_gelu"},
}

MEASURE = """
import json, sys
import numpy as np
from high_water import peak_bytes
sizes, pairs = json.loads(sys.argv[1]), int(sys.argv[2])
import keras
from keras_clip.models.clip import CLIP
from keras_clip.models.config import CLIPConfig, TextConfig, ViTConfig
from keras_clip.train.optimizer import AdamW
from keras_clip.train.plan import plan
width = sizes["width"]
encoder = {"hidden_dim": width, "num_layers": sizes["layers"], "num_heads": width // 32,
           "mlp_dim": 4 * width, "activation": sizes["activation"], "projection_dim": 64}
vision = ViTConfig(**encoder, patch_size=sizes["patch"], image_size=32)
text = TextConfig(**encoder, vocabulary_size=1000, context_length=32)
clip = CLIP(CLIPConfig(vision, text))
clip.compile(AdamW(1e-4))
random = np.random.default_rng(0)
data = {
    "images": random.normal(size=(pairs, 32, 32, 3)).astype("float32"),
    "token_ids": random.integers(0, 1000, (pairs, 32)).astype("int32"),
}
for _ in range(2):
    assert np.isfinite(clip.train_on_batch(data))
print(json.dumps((peak_bytes(), plan(clip, pairs).memory)))
"""


def run(backend, sizes, pairs):
    """Take two steps in a fresh process: (bytes at its peak, bytes planned)."""
    return fresh(backend, MEASURE, json.dumps(sizes), pairs)


def main():
    parser = argparse.ArgumentParser(description="What a training step takes, beside its plan.")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    options = parser.parse_args()
    print("| model | backend | MiB a pair | planned | planned / measured |\n|---|---|--:|--:|--:|")
    for name, sizes in MODELS.items():
        for backend in options.backends:
            few, many = (run(backend, sizes, pairs) for pairs in BATCHES)
            measured, planned = (
                (b - a) / (BATCHES[1] - BATCHES[0]) / 2**20 for a, b in zip(few, many, strict=True)
            )
            cells = f"{measured:.2f} | {planned:.2f} | {planned / measured:.2f}"
            print(f"| {name} | {backend} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
