"""Fit logistic regression beside scikit-learn: `python benchmarks/probe.py [--sweep] [--large]`.

Features are drawn like a CLIP's: clusters about a common offset, a few strong directions. Both
stop by their own default; the objective is computed in float64 from what each returned.
"""

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

ROWS, DIM, CLASSES, TEST = 50_000, 512, 100, 10_000


def drawn(count, seed, dim=DIM, classes=CLASSES):
    """Features (count, dim) float32 and labels."""
    fixed, random = np.random.default_rng(7), np.random.default_rng(seed)
    axes = (
        np.linalg.qr(fixed.standard_normal((dim, dim)))[0] / np.sqrt(np.arange(1, dim + 1))[:, None]
    )
    offset = 9 / np.sqrt(dim) * fixed.standard_normal(dim)
    means = 0.18 * fixed.standard_normal((classes, dim)) @ axes
    labels = random.integers(0, classes, count)
    noise = random.standard_normal((count, dim), "float32") @ axes.astype("float32")
    return (offset + means[labels] + noise).astype("float32"), labels


def objective(weights, bias, features, labels, C):  # noqa: N803
    """Mean loss plus penalty."""
    logits = (features @ weights.astype("float32") + bias).astype("float64")
    losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(labels)), labels]
    return losses.mean() + np.sum(np.square(weights, dtype="float64")) / (2 * C * len(labels))


def ours(features, labels, C):  # noqa: N803
    from keras_clip.evaluate.logistic_regression import LogisticRegression

    fit = LogisticRegression((features, labels), num_classes=CLASSES).fit(C)
    return fit.weights, fit.bias, fit.iterations


def theirs(features, labels, C):  # noqa: N803
    from sklearn.linear_model import LogisticRegression

    fit = LogisticRegression(C=C, max_iter=1000).fit(features, labels)
    return fit.coef_.T, fit.intercept_, int(fit.n_iter_[0])


def compare(rounds, costs):
    """Print a row a library and C."""
    train, test = drawn(ROWS, 0), drawn(TEST, 1)
    print(f"{ROWS} x {DIM}, {CLASSES} classes, float32")
    print("| C | | seconds | steps | objective | accuracy |\n|" + " --: |" * 6)
    for C in costs:
        seconds = {"keras-clip": [], "scikit-learn": []}
        heads = {}
        for _ in range(rounds):
            for name, fit in (("keras-clip", ours), ("scikit-learn", theirs)):
                begun = time.perf_counter()
                heads[name] = fit(*train, C)
                seconds[name].append(time.perf_counter() - begun)
        for name, (weights, bias, steps) in heads.items():
            accuracy = np.mean((test[0] @ weights + bias).argmax(axis=1) == test[1])
            print(
                f"| {C:g} | {name} | {statistics.median(seconds[name]):.2f} | {steps} "
                f"| {objective(weights, bias, *train, C):.6f} | {accuracy:.2%} |",
                flush=True,
            )


def sweep():
    """Print the time of the whole search."""
    from keras_clip import evaluate

    found = evaluate.linear_probe(*drawn(ROWS, 0), *drawn(TEST, 1))
    print(
        f"search of C among 96 and refit: {found.seconds:.0f} s, {len(found.sweep)} fits, "
        f"{found.iterations} steps, C = {found.C:.3g}, accuracy {found.accuracy:.2%}"
    )


def large(rows=1_000_000, dim=768, part=50_000, steps=5):
    """Print seconds a step and memory for a million float16 rows on disk."""
    from keras_clip.evaluate.logistic_regression import LogisticRegression

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "features.npy")
        features = np.lib.format.open_memmap(path, "w+", "float16", (rows, dim))
        labels = np.empty(rows, "int64")
        for number, start in enumerate(range(0, rows, part)):
            drawn_rows, labels[start : start + part] = drawn(part, number, dim)
            features[start : start + part] = drawn_rows
        del features
        before = _anonymous()
        begun = time.perf_counter()
        features, peak = np.load(path, mmap_mode="r"), _Peak()
        problem = LogisticRegression((features, labels), num_classes=CLASSES)
        fit = problem.fit(1.0, max_iterations=steps)
        seconds = time.perf_counter() - begun
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(
        f"{rows} x {dim} float16 on disk, {rows * dim * 8 / 2**20:.0f} MB as float64: "
        f"{fit.iterations} steps in {seconds:.0f} s, {peak.stop() - before:.0f} MB above the start "
        f"(resident with the mapped file: {most:.0f} MB)"
    )


class _Peak:
    """The most anonymous memory, sampled by a thread."""

    def __init__(self):
        import threading

        self.most, self.ended = 0, threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def _watch(self):
        while not self.ended.wait(0.01):
            self.most = max(self.most, _anonymous())

    def stop(self):
        self.ended.set()
        self.thread.join()
        return self.most


def _anonymous():
    """Memory of this process without mapped files, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("RssAnon"))
    return int(line.split()[1]) / 2**10


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cost", type=float, nargs="*", default=[0.1, 1.0], help="the Cs")
    parser.add_argument("--sweep", action="store_true", help="the whole search too")
    parser.add_argument("--large", action="store_true", help="a million rows on disk too")
    options = parser.parse_args(arguments)
    compare(options.rounds, options.cost)
    if options.sweep:
        sweep()
    if options.large:
        large()


if __name__ == "__main__":
    main()
