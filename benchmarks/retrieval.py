"""Recall at k against open_clip's own function: `python benchmarks/retrieval.py [--rows 5000]`.

Every run is a fresh process: seconds of the call, and the peak of memory above what was there.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
DIM = 512
START = """
import json, sys, time
import numpy as np
rows, dim = int(sys.argv[1]), int(sys.argv[2])
random = np.random.default_rng(0)
images = random.standard_normal((rows, dim)).astype("float32")
texts = images + 4 * random.standard_normal((rows, dim)).astype("float32")
images, texts = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (images, texts))
"""
JOBS = {
    "keras-clip": (
        "from keras_clip.evaluate import retrieval",
        "retrieval(images, texts)",
        "found.image_to_text[1]",
    ),
    "open_clip": (
        "import peers; torch = peers._torch()\n"
        "from open_clip_train.train import get_clip_metrics\n"
        "images, texts = torch.from_numpy(images), torch.from_numpy(texts)",
        "get_clip_metrics(images, texts, torch.tensor(100.0))",
        "float(found['image_to_text_R@1'])",
    ),
}
MEASURE = """
from high_water import peak_bytes
before = peak_bytes()
start = time.perf_counter()
found = {call}
seconds = time.perf_counter() - start
peak = (peak_bytes() - before) / 2**20
print(json.dumps([seconds, peak, {recall}]))
"""


def measure(name, rows):
    """[seconds, MiB, recall@1] of a fresh process."""
    imports, call, recall = JOBS[name]
    script = START + imports + MEASURE.format(call=call, recall=recall)
    path = os.pathsep.join([str(HERE), str(HERE.parent)])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(rows), str(DIM)],
        env={**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[5000, 20000])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print("| pictures and captions | library | seconds | peak memory, MiB | recall@1 |")
    print("|--:|---|--:|--:|--:|")
    for rows in options.rows:
        found = {name: [] for name in JOBS}
        for _ in range(options.repeats):
            for name in JOBS:
                found[name].append(measure(name, rows))
        for name, runs in found.items():
            seconds, peak, recall = (
                statistics.median(column) for column in zip(*runs, strict=True)
            )
            print(f"| {rows:,} | {name} | {seconds:.2f} | {peak:,.0f} | {recall:.4f} |")


if __name__ == "__main__":
    main()
