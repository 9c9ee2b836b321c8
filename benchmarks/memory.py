"""Peak memory of a training step of a small CLIP, all at once and in chunks of 64.

python benchmarks/memory.py [--backends jax torch] [--pairs 256 1024 4096] [--loss sigmoid]

Every number is of a fresh process: its peak in one step minus what it held before, the data among
it, in MiB; where a step is compiled, that counts too. Steps all at once that would need more than
`--limit` GiB, by the one before, are left out.
"""

import argparse
import json
import os
import subprocess
import sys

BACKENDS = ("jax", "tensorflow", "torch")
ENCODER = {"hidden_dim": 128, "num_layers": 4, "num_heads": 4, "mlp_dim": 512}

MEASURE = """
import json, resource, sys
import numpy as np
from high_water import peak_bytes
pairs, chunk_size, sigmoid = (int(x) for x in sys.argv[1:4])
encoder = json.loads(sys.argv[4])
import keras
from keras_clip.models.clip import CLIP
from keras_clip.models.config import CLIPConfig, TextConfig, ViTConfig
vision = ViTConfig(**encoder, patch_size=4, image_size=32, projection_dim=64)
text = TextConfig(**encoder, vocabulary_size=1000, context_length=32, projection_dim=64)
clip = CLIP(CLIPConfig(vision, text, initial_bias=-10.0 if sigmoid else None))
clip.compile(keras.optimizers.AdamW(1e-4), chunk_size=chunk_size or None)
random = np.random.default_rng(0)
data = {
    "images": random.normal(size=(pairs, 32, 32, 3)).astype("float32"),
    "token_ids": random.integers(0, 1000, (pairs, 32)).astype("int32"),
}
resident = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
loss = float(clip.train_on_batch(data))
peak = peak_bytes()
assert np.isfinite(loss)
print(json.dumps((peak - resident) / 2**20))
"""


def peak(backend, pairs, chunk_size=None, sigmoid=False, encoder=ENCODER):
    """Measure one step in a fresh process: MiB above what is there before it."""
    return fresh(backend, MEASURE, pairs, chunk_size or 0, int(sigmoid), json.dumps(encoder))


def fresh(backend, script, *arguments):
    """Run a script that prints JSON in a process of its own, and return what it printed."""
    environment = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}
    # What is freed goes back to the system at once: neither holes in the C library's heap count,
    # which let torch's peaks grow to three times what it holds, nor what each thread keeps.
    malloc = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(2**18)}
    environment.update(malloc, CUDA_VISIBLE_DEVICES="")
    here = os.path.dirname(os.path.abspath(__file__))
    environment["PYTHONPATH"] = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=3600,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--pairs", nargs="+", type=int, default=[256, 1024, 4096])
    parser.add_argument("--chunk-size", type=int, default=64)
    parser.add_argument("--loss", choices=["softmax", "sigmoid"], default="softmax")
    parser.add_argument("--limit", type=float, default=12.0, help="GiB; default: %(default)s")
    options = parser.parse_args()

    print("| backend | chunks of | " + " | ".join(f"{n:,} pairs" for n in options.pairs) + " |")
    print("|---|--:|" + "--:|" * len(options.pairs))
    for backend in options.backends:
        for chunk_size in (options.chunk_size, None):
            cells, last = [], None
            for pairs in options.pairs:
                expected = 0 if last is None else last[1] * pairs / last[0]
                if chunk_size is None and expected > options.limit * 1024:
                    cells.append(f"(about {expected:,.0f})")
                    continue
                found = peak(backend, pairs, chunk_size, options.loss == "sigmoid")
                cells.append(f"{found:,.0f}")
                last = (pairs, found)
            name = "all at once" if chunk_size is None else chunk_size
            print(f"| {backend} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
