"""How often the highest cosine lies on what a text names: `python benchmarks/pointing.py`.

The bundled model, on scenes of two coloured shapes that the recipe of its training draws. By chance
half of the peaks are nearer to the right shape.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import keras_clip
from keras_clip.models.dense_similarity import dense_similarity
from keras_clip.preprocessing.crop_box import peak_place

RECIPE = Path(__file__).resolve().parent.parent / "zoo" / "recipes" / "shapes"
SIDE = 128  # pixels of a picture


def scenes(count, seed=0):
    """Pictures, and for each the (text, (x, y), radius) of both of its shapes, in pixels."""
    sys.path.insert(0, str(RECIPE))
    import render
    from scenes import COMBINATIONS, draw_scene

    random, layout, places = np.random.default_rng(seed), render.layout, []

    def remembered(*arguments):
        places.append(layout(*arguments))
        return places[-1]

    render.layout, pictures = remembered, []
    while len(pictures) < count:
        pictures.append(render.render(draw_scene(random, "pair", COMBINATIONS), random, size=SIDE))
    render.layout = layout
    return pictures, [[_named(*one) for one in scene] for scene in places]


def _named(thing, centre, radius):
    article = "an" if thing.colour[0] in "aeiou" else "a"
    text = f"{article} {thing.colour} {thing.shape}"
    return text, SIDE * np.asarray(centre), SIDE * radius


def pointing(image_size, pictures, truths):
    """(share of peaks nearer to the right shape, share of peaks on it) at a size of the model's."""
    clip = keras_clip.from_preset("clip_resnet_tiny_shapes", image_size=image_size)
    texts = sorted({text for scene in truths for text, _, _ in scene})
    vectors = clip.embed_texts(texts)
    maps = np.concatenate(
        [
            dense_similarity(clip, clip.image_processor(pictures[start : start + 50]), vectors)
            for start in range(0, len(pictures), 50)
        ]
    )
    nearer, on = [], []
    for values, scene in zip(maps, truths, strict=True):
        for (text, mine, radius), (_, others, _) in (scene, scene[::-1]):
            peak = peak_place(values[..., texts.index(text)], (0, 0, SIDE, SIDE))
            distance = np.linalg.norm(peak - mine)
            nearer.append(distance < np.linalg.norm(peak - others))
            on.append(distance <= radius + SIDE / values.shape[0] / 2)  # half a cell is its place
    return float(np.mean(nearer)), float(np.mean(on))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=400)
    options = parser.parse_args(arguments)
    pictures, truths = scenes(options.scenes)
    print(f"{'image size':>10} {'grid':>6} {'nearer':>8} {'on it':>8}")
    for size in (64, 128, 192, 256):
        nearer, on = pointing(size, pictures, truths)
        print(f"{size:>10} {f'{size // 32}x{size // 32}':>6} {nearer:>8.1%} {on:>8.1%}")


if __name__ == "__main__":
    main()
