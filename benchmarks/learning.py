"""A small CLIP that learns from rendered scenes, beside open_clip: `python benchmarks/learning.py`.

Two vision transformers of 64 x 64 pixels and their text towers start from the same weights and see
the same batches; one is trained by keras-clip (on KERAS_BACKEND), one by open_clip with its own
loss and torch's AdamW, at the same rates. Printed: the largest difference of their losses over the
first 50 steps, and what either names right at the end of 600 pictures of colour-shape combinations
that were in no batch, among all 120. Other seeds, of weights and batches, show the noise.

`--minutes` is for everything, both trainings and all seeds; `--steps` says exactly how many.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "zoo" / "recipes" / "shapes"), str(ROOT / "tests")]

import peers  # noqa: E402

peers._torch()  # before TensorFlow, and with what torchvision misses beside a CPU build

import dataset  # noqa: E402
import evaluate  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import vocabulary  # noqa: E402
from open_clip_peer import OpenClipPeer  # noqa: E402
from scenes import HELD_OUT  # noqa: E402

from keras_clip import CLIPTokenizer, export_checkpoint  # noqa: E402
from keras_clip.models.clip import CLIP  # noqa: E402
from keras_clip.models.config import CLIPConfig, TextConfig, ViTConfig  # noqa: E402
from keras_clip.preprocessing.images import ImageConfig  # noqa: E402
from keras_clip.train.optimizer import adamw  # noqa: E402

BATCH, CONTEXT, COMPARED, TRIAL = 64, 26, 50, 12
RATE, DECAY = 1e-3, 0.1


class Embedder:
    """What evaluate.py asks of a model, answered by open_clip's."""

    def __init__(self, model, clip):
        self.model, self.clip = model.eval(), clip

    def embed_images(self, pictures, **_):
        """(n, 64, 64, 3) uint8 -> (n, dim), unit length."""
        import torch

        pixels = torch.from_numpy(self.clip.image_processor(pictures).transpose(0, 3, 1, 2).copy())
        with torch.no_grad():
            return self.model.encode_image(pixels, normalize=True).numpy()

    def embed_texts(self, texts, **_):
        """List of str -> (n, dim), unit length."""
        import torch

        ids = torch.from_numpy(np.asarray(self.clip.tokenizer(texts)).astype("int64"))
        with torch.no_grad():
            return self.model.encode_text(ids, normalize=True).numpy()


def build(seed):
    """An untrained CLIP of two small transformers."""
    keras.utils.set_random_seed(seed)
    tokenizer = CLIPTokenizer.from_file(vocabulary.PATH, context_length=CONTEXT)
    encoder = {
        "hidden_dim": 128,
        "num_heads": 4,
        "mlp_dim": 512,
        "activation": "gelu",
        "projection_dim": 128,
    }
    vision = ViTConfig(
        **encoder, num_layers=4, patch_size=8, image_size=64, epsilon=1e-5, use_norm_pre=True,
        use_patch_bias=False, image=ImageConfig(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    )  # fmt: skip
    text = TextConfig(
        **encoder,
        num_layers=2,
        vocabulary_size=tokenizer.vocabulary_size,
        context_length=CONTEXT,
    )
    return CLIP(CLIPConfig(vision, text), tokenizer)


def train(seed, steps):
    """Train both: (model of this package, open_clip's, losses (steps, 2), seconds of each)."""
    clip = build(seed)
    recipe = {"learning_rate": RATE, "steps": steps, "warmup_steps": max(1, steps // 10)}
    with tempfile.TemporaryDirectory() as folder:
        export_checkpoint(clip, f"{folder}/first", "open_clip")
        peer = OpenClipPeer(f"{folder}/first", **recipe, weight_decay=DECAY)
    clip.compile(adamw(clip, **recipe, weight_decay=DECAY))
    losses, seconds = [], [0.0, 0.0]
    for step in range(steps):
        pictures, captions = dataset.draw_batch(BATCH, (seed, step))
        pixels = clip.image_processor(pictures)
        token_ids = np.asarray(clip.tokenizer(captions))
        pair = {"images": pixels, "token_ids": token_ids}
        begun = time.perf_counter()
        ours = float(clip.train_on_batch(pair))
        between = time.perf_counter()
        theirs = peer.step(pixels, token_ids)
        seconds[0] += between - begun
        seconds[1] += time.perf_counter() - between
        losses.append((ours, theirs))
        if (step + 1) % 100 == 0:
            print(f"seed {seed}, step {step + 1} of {steps}: {ours:.4f} {theirs:.4f}", flush=True)
    return clip, peer.model, np.array(losses), seconds


def steps_within(minutes, seeds):
    """How many steps a seed has, found by a few that are thrown away."""
    train(0, 2)  # compiles
    begun = time.perf_counter()
    train(0, TRIAL)
    return max(COMPARED, int(60 * minutes / seeds / (time.perf_counter() - begun) * TRIAL))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--steps", type=int, help="of each training, instead of --minutes")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    steps = options.steps or steps_within(options.minutes, options.seeds)
    rows = []
    for seed in range(1, options.seeds + 1):
        clip, other, losses, seconds = train(seed, steps)
        difference = np.abs(losses[:COMPARED, 0] - losses[:COMPARED, 1]).max()
        both = [
            evaluate.combinations(model, HELD_OUT, 600) for model in (clip, Embedder(other, clip))
        ]
        rows.append((seed, difference, *losses[-10:].mean(axis=0), *both, *seconds))
    compared = min(COMPARED, steps)
    print(f"\nkeras-clip on {keras.backend.backend()}, {steps} steps of {BATCH} pairs\n")
    print(
        f"| seed | largest difference of loss in {compared} steps | last losses | | unseen "
        "combinations, of 120 | | seconds in steps | |\n| --: |" + " --: |" * 7
    )
    for seed, difference, *values in rows:
        ours, theirs, *rest = values
        cells = [f"{difference:.1e}", f"{ours:.3f}", f"{theirs:.3f}"]
        cells += [f"{v:.1f} %" for v in rest[:2]] + [f"{v:.0f}" for v in rest[2:]]
        print(f"| {seed} | " + " | ".join(cells) + " |")
    for name, column in (("keras-clip", 4), ("open_clip", 5)):
        values = [row[column] for row in rows]
        spread = f", {min(values):.1f} to {max(values):.1f}" if len(values) > 1 else ""
        print(f"{name}: {statistics.mean(values):.1f} % of unseen combinations{spread}")


if __name__ == "__main__":
    main()
