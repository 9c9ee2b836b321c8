"""Give the image tower a head start, naming facts: `python zoo/recipes/shapes/warm_up.py`."""

import argparse
import time
from pathlib import Path

import keras
import numpy as np
import vocabulary
from dataset import draw_picture, pick_kind
from pairs import BATCH_SIZE, FOLDER, SEED
from scenes import COLOURS, DIGITS, PLACES, SHAPES, SIZES, draw_scene

from keras_clip import CLIP, CLIPConfig, CLIPTokenizer, ImageConfig, ResNetConfig, TextConfig
from keras_clip.train import adamw

CONTEXT_LENGTH = 26
STEPS = 1500
RATE = 3e-3

FACTS = (
    *COLOURS, *SHAPES, *DIGITS, *PLACES, *SIZES, *(f"{colour} background" for colour in COLOURS),
)  # fmt: skip
# Share of the kinds of scene, in the order of scenes.KINDS; a pair has no place of its own.
SHARES = (0.55, 0.0, 0.1, 0.35)


def labels(scene):
    """Which of FACTS are true of a scene of one kind of thing: (len(FACTS),) of 0 and 1."""
    thing = scene.things[0]
    size = thing.size if scene.kind == "single" else ""
    said = {thing.colour, thing.shape, size, scene.place, f"{scene.background} background"}
    return np.array([fact in said for fact in FACTS], "float32")


class FactsDataset(keras.utils.PyDataset):
    """Batches of pictures and their facts, the same for the same seed.

    Args:
        normalize: function (B, H, W, 3) uint8 -> float32.
        batch_size: pictures a batch.
        steps: number of batches.
        seed: int.
    """

    def __init__(self, normalize, batch_size, steps, seed, **kwargs):
        super().__init__(**kwargs)
        self.normalize = normalize
        self.batch_size, self.steps, self.seed = batch_size, steps, seed

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        rng = np.random.default_rng((self.seed, 1, index))
        scenes = [draw_scene(rng, pick_kind(rng, SHARES)) for _ in range(self.batch_size)]
        pictures = np.stack([draw_picture(scene, rng) for scene in scenes])
        return self.normalize(pictures), np.stack([labels(scene) for scene in scenes])


def configuration(vocabulary_size):
    """What the model is, for so many tokens."""
    vision = ResNetConfig(
        stage_blocks=(1, 2, 2, 1), width=16, num_heads=8, projection_dim=128, image_size=64,
        image=ImageConfig(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    )  # fmt: skip
    text = TextConfig(
        vocabulary_size=vocabulary_size, context_length=CONTEXT_LENGTH, hidden_dim=128,
        num_layers=2, num_heads=2, mlp_dim=512, activation="quick_gelu", projection_dim=128,
    )  # fmt: skip
    return CLIPConfig(vision, text)


def build():
    """The untrained model, its tokenizer included."""
    tokenizer = CLIPTokenizer.from_file(vocabulary.PATH, context_length=CONTEXT_LENGTH)
    return CLIP(configuration(tokenizer.vocabulary_size), tokenizer)


def normalize(pictures):
    """uint8 -> float32 in -1..1: what the model's image processor does to a 64 x 64 picture."""
    return pictures.astype("float32") / np.float32(127.5) - np.float32(1.0)


def warm_up(tower, steps, batch_size=BATCH_SIZE):
    """Train the image tower, in place, under a head that names FACTS.

    Contrastive training alone dwells long on colours before it finds shapes; with labels it finds
    them in a few hundred steps.
    """
    facts = keras.layers.Dense(len(FACTS), activation="sigmoid", name="facts")(tower.output)
    model = keras.Model(tower.input, facts)
    optimizer = adamw(
        model, RATE, steps, warmup_steps=max(1, min(150, steps // 10)), weight_decay=0.05,
        clip_norm=1.0, ema_momentum=0.98,
    )  # fmt: skip
    model.compile(optimizer, "binary_crossentropy")
    # In one epoch: with several workers Keras starts a PyDataset anew after each.
    dataset = FactsDataset(normalize, batch_size, steps, SEED, workers=2, max_queue_size=8)
    return model.fit(dataset, shuffle=False, verbose=2).history["loss"][-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--output", type=Path, default=FOLDER / "start", help="preset to write")
    options = parser.parse_args()

    keras.utils.set_random_seed(SEED)
    vocabulary.write()
    clip = build()
    begun = time.perf_counter()
    loss = warm_up(clip.get_layer("vision"), options.steps)
    minutes = (time.perf_counter() - begun) / 60
    clip.save_to_preset(options.output)
    print(f"loss {loss:.4f} after {minutes:.1f} minutes; wrote {options.output}")


if __name__ == "__main__":
    main()
