"""ViT-B/32 beside its peers on this machine: `python benchmarks/speed.py --help`.

Every library lives in a process of its own; rounds go through all of them, in another order each
time, so that a change in the machine's speed meets all alike. Ratios are medians over the rounds of
ours / theirs within a round.
"""

import argparse
import os
import pathlib
import random
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
BACKENDS = ("jax", "tensorflow", "torch")
GFLOP = 2 * 2048**3 / 1e9
TOWER_GFLOP = 8.82  # ViT-B/32's image tower, one picture (2 x multiply-adds)
UNITS = {"image32": 32, "image1": 1, "text512": 512}
TABLES = {  # job: (title, unit, share of the rounds; texts take half a minute each)
    "image32": ("Image tower, batch 32", "images/s", 1),
    "image1": ("Image tower, batch 1", "images/s", 4),
    "text512": ("Text tower, 512 captions", "texts/s", 0.4),
}
OWN_JOBS = ("gemm", "direct64", "predict64", "embed64")  # the tower's share is that of direct64


class Peer:
    """A process that runs jobs when told to."""

    def __init__(self, name, backend=None, script="peers.py", arguments=(), environment=None):
        self.name = f"{name} ({backend})" if backend else name
        own = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": backend or "jax"}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / script), name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **own, **(environment or {})},
        )
        self.jobs = self.process.stdout.readline().split()

    def seconds(self, job):
        """Run a job once and return its seconds."""
        self.process.stdin.write(job + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def start(only):
    """Start every peer that is installed; one that cannot start is named and left out."""
    wanted = [("keras_clip", backend) for backend in BACKENDS]
    wanted += [("open_clip", None), ("open_clip_compiled", None), ("transformers", None)]
    wanted += [("keras_hub", backend) for backend in BACKENDS]
    peers = []
    for name, backend in wanted:
        if only and name not in only:
            continue
        peer = Peer(name, backend)
        print(f"{peer.name}: {' '.join(peer.jobs) or 'not available'}", file=sys.stderr, flush=True)
        if peer.jobs:
            peers.append(peer)
    return peers


def measure(peers, jobs, rounds, times):
    """Add {(peer, job): seconds of every round} to `times`, after one round of warming up."""
    able = [(peer, job) for peer in peers for job in jobs if job in peer.jobs]
    times.update({(peer.name, job): [] for peer, job in able})
    orders = random.Random(0)
    for number in range(rounds + 1):
        for peer, job in orders.sample(able, len(able)):
            seconds = peer.seconds(job)
            if number:
                times[peer.name, job].append(seconds)
            time.sleep(0.3)  # until idle threads stop spinning


def ratio(times, ours, theirs):
    """Return the median over the rounds of theirs / ours in time: above 1, ours is faster."""
    pairs = zip(times[ours], times[theirs], strict=True)
    return statistics.median(their / our for our, their in pairs)


def table(times, job, unit):
    """Return a Markdown table of one job: rate, and ours against each peer."""
    names = [name for name, measured in times if measured == job]
    ours = [name for name in names if name.startswith("keras_clip")]
    lines = [f"| {unit} | rate | " + " | ".join(f"{name} is" for name in ours) + " |"]
    lines.append("|" + " --- |" * (2 + len(ours)))
    for name in names:
        rate = UNITS[job] / statistics.median(times[name, job])
        cells = [f"{ratio(times, (us, job), (name, job)):.2f}x" for us in ours]
        lines.append(f"| {name} | {rate:.1f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def own_table(times):
    """Return a Markdown table of what this package has to itself: shares of a limit."""
    lines = ["| backend | share of GEMM rate | predict / direct | embed_images / direct |"]
    lines.append("| --- | --- | --- | --- |")
    for backend in BACKENDS:
        name = f"keras_clip ({backend})"
        if (name, "gemm") not in times:
            continue
        tower = ratio(times, (name, "direct64"), (name, "gemm")) * 64 * TOWER_GFLOP / GFLOP
        jobs = ("predict64", "embed64")
        shares = [tower, *(ratio(times, (name, job), (name, "direct64")) for job in jobs)]
        lines.append(f"| {backend} | " + " | ".join(f"{share:.2f}" for share in shares) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", metavar="PEER", help="e.g. keras_clip open_clip")
    options = parser.parse_args()
    peers = start(options.only)
    rounds, times = options.rounds, {}
    print(f"ViT-B/32, float32, {os.cpu_count()} cores")
    for job, (title, unit, share) in TABLES.items():
        count = max(1, round(share * rounds))
        measure(peers, [job], count, times)
        print(f"\n### {title}, medians of {count}\n\n{table(times, job, unit)}", flush=True)
    ours = [peer for peer in peers if peer.name.startswith("keras_clip")]
    measure(ours, OWN_JOBS, 2 * rounds, times)
    for peer in peers:
        peer.close()
    print("\n### This package against its own limits\n\n" + own_table(times))


if __name__ == "__main__":
    main()
