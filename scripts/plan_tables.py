"""Write docs/plan.md, the table of what a training step costs: run this file."""

from pathlib import Path

import keras

from keras_clip.presets import from_preset
from keras_clip.train.plan import plan

PAGE = Path(__file__).parents[1] / "docs" / "plan.md"
PRESETS = {
    "ViT-B/32": "clip_vit_base_patch32_openai",
    "ViT-B/16": "clip_vit_base_patch16_openai",
    "ViT-L/14": "clip_vit_large_patch14_openai",
    "ViT-H/14": "clip_vit_huge_patch14_laion2b_s32b_b79k",
    "SigLIP So400m/14": "siglip_vit_so400m_patch14_224_webli",
}
BATCHES = (32, 256, 1024, 4096)
CHUNK = 64
TEXT = """# Planning a training run

What a step of contrastive training costs by model and batch, as `keras_clip.train.plan` estimates
it from a configuration. `keras-clip train recipe.toml --dry-run` says the same of a recipe, and
measures two steps. This page is written by `scripts/plan_tables.py`.

## Parameters and FLOPs

Two a multiply-add; norms and activations are left out, as in the numbers that OpenCLIP publishes,
with which these agree. A training step takes three times the forward pass: forward, and backward
for inputs and for weights. In chunks (`compile(chunk_size=...)`) or under `keras.RematScope` the
forward pass is computed once more.

{costs}

## Memory

GiB for one device: weights, gradients, two moments of AdamW, the inputs, and what is kept for the
backward pass. Weights and moments are float32 under every policy; `mixed_bfloat16` (or `float16`)
halves what is kept, and adds a copy of the weights in half precision.

Everything at once, `mixed_bfloat16`:

{mixed}

Everything at once, `float32`:

{single}

In chunks of {chunk}, `mixed_bfloat16`: what grows with the batch is its pixels and its logits.

{chunked}

A moving average (`ema_momentum`) adds 4 bytes a parameter. On n devices with data in parallel, read
the row of batch / n, apart from the logits (12 bytes a pair of the global batch times the device's
share of it); with `layout_map`, weights, gradients and moments are divided by the devices of the
mesh's model axis as well.

What is kept for the backward pass differs by backend. On a processor, two small models in float32
took 1.3 times the estimate a pair on torch, 1.8 times on TensorFlow, 1.5 and 2.1 times on JAX
(`python benchmarks/plan.py`, 2026-11-25, torch 2.13, TensorFlow 2.21, JAX 0.10): leave room.

## Step time

    seconds a step = FLOPs a pair x batch / (rate x share)

`rate` is what the device makes of a large product of matrices in the policy's precision: time one
of 8192 x 8192, which is 1.1 TFLOP (2048 x 2048 on a processor, 17.2 GFLOP). `share` is the part of
it that a step reaches: take it from two steps of `--dry-run` with a small model.
An example: ViT-B/32 has {pair:.1f} GFLOP a pair, so that 1,024
pairs on a device with 400 TFLOP/s at a share of 0.4, say, take {seconds:.2f} s.
"""


def build(name, dtype):
    """The model without its weights, which at this size would fill the memory."""
    with keras.StatelessScope(initialize_variables=False):
        return from_preset(name, load_weights=False, dtype=dtype)


def table(head, rows):
    """A Markdown table."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def memory(clips, chunk_size=None):
    """The table of GiB by model and batch."""
    rows = []
    for name, clip in clips.items():
        found = (plan(clip, batch, chunk_size).memory / 2**30 for batch in BATCHES)
        rows.append([name, *(f"{size:,.1f}" for size in found)])
    return table(["batch", *(f"{batch:,}" for batch in BATCHES)], rows)


def costs(clips):
    """The table of parameters and FLOPs by model."""
    rows = []
    for name, clip in clips.items():
        found = plan(clip, 1024)
        forward = found.vision_forward_flops, found.text_forward_flops
        again = plan(clip, 1024, chunk_size=CHUNK).pair_flops
        rows.append([
            name, *(f"{n / 1e6:,.1f} M" for n in (found.vision_parameters, found.text_parameters)),
            *(f"{f / 1e9:,.2f}" for f in forward), f"{found.pair_flops / 1e9:,.0f}",
            f"{again / 1e9:,.0f}", f"{found.flops / 1e12:,.0f}",
        ])  # fmt: skip
    head = ["model", "image tower", "text tower", "GFLOP a picture", "GFLOP a text",
            "GFLOP a pair trained", "in chunks", "TFLOP a step of 1,024"]  # fmt: skip
    return table(head, rows)


def page():
    """All of docs/plan.md."""
    single = {name: build(preset, "float32") for name, preset in PRESETS.items()}
    mixed = {name: build(preset, "mixed_bfloat16") for name, preset in PRESETS.items()}
    pair = plan(single["ViT-B/32"], 1024).pair_flops
    return TEXT.format(
        costs=costs(single), mixed=memory(mixed), single=memory(single),
        chunked=memory(mixed, CHUNK), chunk=CHUNK, pair=pair / 1e9,
        seconds=pair * 1024 / (400e12 * 0.4),
    )  # fmt: skip


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
