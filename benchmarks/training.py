"""A training step of a CLIP beside open_clip's on this machine: `python benchmarks/training.py`.

Each backend runs beside each way to run open_clip, in a process of its own, with the same batch:
random pictures, and captions of 9 to 19 tokens in rows of 77. What lies behind a caption changes
nothing: keras-clip leaves it out, and the second table is of captions that fill their rows. A step
is what either library's own training does: forward, its contrastive loss, backward, AdamW, the
clamp of the logit scale, and reading the loss. Rounds go through both in either order, each turn
begins with a step that does not count; ratios are medians over the rounds of theirs / ours.

With `--gpu`, on a machine that has one: B/32, B/16 and L/14 in bfloat16, and the share of the rate
at which the backend multiplies large matrices.
"""

import os
import statistics

from speed import BACKENDS, Peer, measure, ratio
from training_peers import CAPTIONS, configs, parser

PEERS = ("open_clip", "open_clip_compiled")
GPU = {"dtype": "bfloat16", "gemm": 8192, "captions": "long"}
GPU_BATCHES = {"B/32": 512, "B/16": 192, "L/14": 64}


class TrainingPeer(Peer):
    """A process that takes training steps."""

    def __init__(self, name, backend, options):
        wanted = ("model", "batch", "dtype", "patch_dropout", "gemm", "captions")
        arguments = [f"--{key.replace('_', '-')}={getattr(options, key)}" for key in wanted]
        # So that both processes share one GPU.
        environment = {
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        }
        if options.gpu:
            arguments.append("--gpu")
        else:
            environment["CUDA_VISIBLE_DEVICES"] = ""
        super().__init__(name, backend, "training_peers.py", arguments, environment)

    def seconds(self, job):
        """Run a job once and return its seconds, a step as one that follows a step."""
        try:
            if job == "step":  # after a pause, memory that the system took back is fetched anew
                super().seconds(job)
            return super().seconds(job)
        except (ValueError, BrokenPipeError) as error:
            raise SystemExit(
                f"{self.name} ended during {job!r}: run training_peers.py alone to see why, or "
                "leave it out."
            ) from error


def pair_flops(options):
    """Return the operations of a pair's step: forward once, backward twice as many."""
    from keras_clip.train.flops import forward_flops

    return 3 * sum(forward_flops(config, training=True) for config in configs(options))


def report(options):
    """Time one model in each library and print a table."""
    dropout = f", patch dropout {options.patch_dropout}" if options.patch_dropout else ""
    print(
        f"\n### ViT-{options.model} and its text tower, batch {options.batch}, {options.dtype}"
        f"{dropout}, {options.captions} captions: medians of {options.rounds}\n"
    )
    heads = ["keras-clip", "beside", "s/step", "theirs", "keras-clip is"]
    if options.captions == "long":  # of other rows, one library computes a part
        heads += ["share of GEMM", "theirs"]
    print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads), flush=True)
    for backend in options.backends:
        for name in options.peers:
            print(row(options, backend, name), flush=True)


def row(options, backend, name):
    """Time one backend beside one library: two processes, since each takes up to 7 GB."""
    ours, theirs = both = [
        TrainingPeer("keras_clip", backend, options),
        TrainingPeer(name, None, options),
    ]
    absent = [peer.name for peer in both if not peer.jobs]
    if absent:
        return f"| {backend} | {name} | {' and '.join(absent)} cannot start |"
    times = {}
    measure(both, ["step", "gemm"], options.rounds, times)
    seconds, shares = [], []
    for peer in both:
        peer.close()
        seconds.append(statistics.median(times[peer.name, "step"]))
        product = 2 * options.gemm**3 / statistics.median(times[peer.name, "gemm"])
        shares.append(pair_flops(options) * options.batch / seconds[-1] / product)
    times_as_fast = ratio(times, (ours.name, "step"), (theirs.name, "step"))
    cells = [backend, name, *(f"{value:.2f}" for value in seconds), f"{times_as_fast:.2f}x"]
    if options.captions == "long":
        cells += [f"{share:.2f}" for share in shares]
    return "| " + " | ".join(cells) + " |"


def main():
    made = parser()
    made.add_argument("-h", "--help", action="help")
    made.add_argument("--rounds", type=int, default=7)
    made.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    made.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    options = made.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "jax")  # of this process, which only counts
    if not options.gpu:
        print(f"{os.cpu_count()} cores")
        for options.captions in CAPTIONS:
            report(options)
        return
    for model, batch in GPU_BATCHES.items():
        for key, value in {**GPU, "model": model, "batch": batch}.items():
            setattr(options, key, value)
        report(options)


if __name__ == "__main__":
    main()
