"""A head start for the image tower: naming the facts of a picture, one by one."""

import keras
import numpy as np
from dataset import draw_picture, pick_kind
from scenes import COLOURS, DIGITS, PLACES, SHAPES, SIZES, draw_scene

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


def warm_up(tower, dataset, optimizer):
    """Train the image tower, in place, under a head that names FACTS.

    Contrastive training alone dwells long on colours before it finds shapes; with labels it finds
    them in a few hundred steps.
    """
    facts = keras.layers.Dense(len(FACTS), activation="sigmoid", name="facts")(tower.output)
    model = keras.Model(tower.input, facts)
    model.compile(optimizer, "binary_crossentropy")
    model.fit(dataset, shuffle=False, verbose=2)
