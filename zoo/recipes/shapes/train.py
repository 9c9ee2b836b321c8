"""Train the bundled CLIP from scratch: `python zoo/recipes/shapes/train.py`."""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import vocabulary
from dataset import ShapesDataset
from warm_up import FactsDataset, warm_up

from keras_clip.models.clip import CLIP
from keras_clip.models.config import CLIPConfig, ResNetConfig, TextConfig
from keras_clip.preprocessing import CLIPTokenizer
from keras_clip.preprocessing.images import ImageConfig

PRESET = Path(__file__).parents[2] / "clip_resnet_tiny_shapes"
CONTEXT_LENGTH = 26
SEED = 17
WARM_UP_RATE = 3e-3


def build(vocabulary_path):
    """The untrained model, its tokenizer included."""
    tokenizer = CLIPTokenizer.from_file(vocabulary_path, context_length=CONTEXT_LENGTH)
    vision = ResNetConfig(
        stage_blocks=(1, 2, 2, 1), width=16, num_heads=8, projection_dim=128, image_size=64,
        image=ImageConfig(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    )  # fmt: skip
    text = TextConfig(
        vocabulary_size=tokenizer.vocabulary_size, context_length=CONTEXT_LENGTH, hidden_dim=128,
        num_layers=2, num_heads=2, mlp_dim=512, activation="quick_gelu", projection_dim=128,
    )  # fmt: skip
    return CLIP(CLIPConfig(vision, text), tokenizer)


def optimizer(steps, peak):
    """AdamW with warm-up and cosine decay; an average of the weights is kept at the end."""
    warmup = max(1, min(150, steps // 10))
    rate = keras.optimizers.schedules.CosineDecay(
        peak * 0.02, steps - warmup, alpha=0.0, warmup_target=peak, warmup_steps=warmup
    )
    adam = keras.optimizers.AdamW(
        rate, weight_decay=0.05, beta_2=0.98, clipnorm=1.0, use_ema=True, ema_momentum=0.98
    )
    adam.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "log_scale", "embeddings"])
    return adam


def normalize(pictures):
    """uint8 -> float32 in -1..1: what the model's image processor does to a 64 x 64 picture."""
    return pictures.astype("float32") / np.float32(127.5) - np.float32(1.0)


def fit(model, dataset, every=100):
    """Trains on every batch of the dataset once.

    In one epoch: with several workers Keras starts a PyDataset anew after each `steps_per_epoch`,
    which would show the model its first batches over and over.
    """

    def report(step, logs):
        if (step + 1) % every == 0:
            print(f"step {step + 1}: mean loss so far {float(logs['loss']):.3f}", flush=True)

    progress = keras.callbacks.LambdaCallback(on_train_batch_end=report)
    model.fit(dataset, shuffle=False, verbose=2, callbacks=[progress])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2200)
    parser.add_argument("--warm-up-steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--output", type=Path, default=PRESET, help="preset directory to write")
    options = parser.parse_args()

    keras.utils.set_random_seed(SEED)
    vocabulary.write()
    clip = build(vocabulary.PATH)
    print(f"{clip.count_params():,} parameters")
    dataset = ShapesDataset(
        clip.tokenizer, normalize, options.batch_size, options.steps, SEED,
        workers=2, max_queue_size=8,
    )  # fmt: skip
    begun = time.perf_counter()
    facts = FactsDataset(
        normalize, options.batch_size, options.warm_up_steps, SEED, workers=2, max_queue_size=8
    )
    warm_up(clip.get_layer("vision"), facts, optimizer(options.warm_up_steps, WARM_UP_RATE))
    clip.compile(optimizer(options.steps, options.rate))
    fit(clip, dataset)
    print(f"trained in {(time.perf_counter() - begun) / 60:.1f} minutes")
    clip.save_to_preset(options.output, dtype="float16")
    size = sum(file.stat().st_size for file in options.output.iterdir())
    print(f"wrote {options.output}, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
