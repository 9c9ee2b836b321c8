"""One library in one process, which takes a training step when told to; `training.py` drives it.

`python benchmarks/training_peers.py keras_clip --model B/32 --batch 32` (backend from
KERAS_BACKEND), or `open_clip`, `open_clip_compiled`. Each line of stdin is a job, `step` or `gemm`;
the answer is one line, its seconds.
"""

import argparse
import math
import sys

import numpy as np
import peers
from captions import captions

SIZES = {  # of OpenAI's models: width, blocks, heads, patch; width and heads of the text tower
    "B/32": (768, 12, 12, 32, 512, 8),
    "B/16": (768, 12, 12, 16, 512, 8),
    "L/14": (1024, 24, 16, 14, 768, 12),
}
CAPTIONS = ("ordinary", "long")
RATE, DECAY, BETAS, EPSILON = 1e-5, 0.2, (0.9, 0.98), 1e-6


def configs(options):
    """Return the configurations of both towers."""
    from keras_clip.models.config import TextConfig, ViTConfig

    width, layers, heads, patch, text_width, text_heads = SIZES[options.model]
    vision = ViTConfig(
        width, layers, heads, 4 * width, patch, activation="quick_gelu", epsilon=1e-5,
        use_patch_bias=False, use_norm_pre=True, projection_dim=text_width,
        patch_dropout_rate=options.patch_dropout,
    )  # fmt: skip
    text = TextConfig(
        hidden_dim=text_width, num_heads=text_heads, mlp_dim=4 * text_width,
        projection_dim=text_width,
    )  # fmt: skip
    return vision, text


def batch(options):
    """Return pictures (n, 224, 224, 3) and token ids (n, 77)."""
    from keras_clip import CLIPTokenizer

    images = np.random.default_rng(0).normal(size=(options.batch, 224, 224, 3))
    tokenizer = CLIPTokenizer.from_file(peers.vocabulary())
    texts = captions(options.batch)
    if options.captions == "long":
        texts = [" ".join([text] * 20) for text in texts]
    return images.astype("float32"), np.asarray(tokenizer(texts))


def keras_clip(options):
    """Return {job: function} of this package, on Keras's backend."""
    import keras

    from keras_clip.models.clip import CLIP
    from keras_clip.models.config import CLIPConfig
    from keras_clip.train.optimizer import AdamW

    half = options.dtype == "bfloat16"
    clip = CLIP(CLIPConfig(*configs(options)), dtype="mixed_bfloat16" if half else None)
    clip.compile(AdamW(RATE, DECAY, *BETAS, epsilon=EPSILON))
    images, token_ids = batch(options)
    pairs = {"images": images, "token_ids": token_ids}
    left = keras.ops.cast(np.random.rand(options.gemm, options.gemm), options.dtype)
    product = _compiled(keras, keras.ops.matmul)
    return {
        "step": lambda: float(clip.train_on_batch(pairs)),
        "gemm": lambda: float(keras.ops.max(product(left, left))),
    }


def _compiled(keras, function):
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)


def open_clip(options, compiled=False):
    """Return {job: function} of open_clip, its loss and torch's AdamW, as its own training."""
    torch = peers._torch()
    import open_clip as library

    device = "cuda" if options.gpu else "cpu"
    name = f"ViT-{options.model.replace('/', '-')}-quickgelu"
    model = library.create_model(name, force_patch_dropout=options.patch_dropout).to(device).train()
    run, loss_of = torch.compile(model) if compiled else model, library.ClipLoss()
    optimizer = torch.optim.AdamW(_groups(model), RATE, BETAS, EPSILON)
    images, token_ids = batch(options)
    images = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    token_ids = torch.from_numpy(token_ids.astype("int64"))
    half = options.dtype == "bfloat16"

    def step():
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=half):
            found = run(images.to(device), token_ids.to(device))
            loss = loss_of(*found)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        return loss.item()

    left = torch.rand(options.gemm, options.gemm).to(device, getattr(torch, options.dtype))
    return {"step": step, "gemm": lambda: (left @ left).max().item()}


def open_clip_compiled(options):
    """Return the jobs of open_clip under torch.compile."""
    return open_clip(options, compiled=True)


def _groups(model):
    """Parameters that decay and others, told apart as open_clip does."""
    named = list(model.named_parameters())
    words = ("bn", "ln", "bias", "logit_scale")
    free = {n for n, p in named if p.ndim < 2 or any(word in n for word in words)}
    return [
        {"params": [p for n, p in named if n in free], "weight_decay": 0.0},
        {"params": [p for n, p in named if n not in free], "weight_decay": DECAY},
    ]


def parser():
    """Return the parser of what every process is told."""
    made = argparse.ArgumentParser(description=__doc__, add_help=False)
    made.add_argument("--model", choices=SIZES, default="B/32")
    made.add_argument("--batch", type=int, default=32)
    made.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    made.add_argument("--patch-dropout", type=float, default=0.0)
    made.add_argument("--gemm", type=int, default=2048, help="side of the matrices multiplied")
    made.add_argument("--captions", choices=CAPTIONS, default="ordinary", help="in their length")
    made.add_argument("--gpu", action="store_true", help="compute on a GPU")
    return made


if __name__ == "__main__":
    told = parser().parse_args(sys.argv[2:])
    peers.serve(lambda: globals()[sys.argv[1]](told), ("gemm",))
