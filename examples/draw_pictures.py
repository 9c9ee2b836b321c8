"""Draw the pictures of the documentation again: `python examples/draw_pictures.py --output docs`.

All are made of the small model that comes with the package, and of pictures that it draws itself.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import keras_clip
from keras_clip import evaluate, plot
from keras_clip.catalogue import zoo_directory
from keras_clip.models.attention_maps import pooling_attention
from keras_clip.models.attention_rollout import attention_rollout
from keras_clip.models.dense_similarity import dense_similarity

PRESET = "clip_resnet_tiny_shapes"
DEMO = zoo_directory() / "demo"
COLOURS = {"red": "#dc1e1e", "blue": "#2850dc", "green": "#1e9632", "yellow": "#f0c81e"}
SHAPES = ("circle", "square", "triangle")
CLASSES = [f"a {colour} {shape}" for colour in COLOURS for shape in SHAPES]


def drawn(name, random):
    """A picture of a class, noisy enough that some are not recognised: (64, 64, 3) uint8."""
    _, colour, shape = name.split()
    page = Image.new("RGB", (64, 64), tuple(random.integers(0, 256, 3).tolist()))
    x, y = random.integers(16, 49, 2).tolist()
    size = int(random.integers(4, 14))
    corners = {"circle": 0, "square": 4, "triangle": 3}[shape]
    pen = ImageDraw.Draw(page)
    if corners:
        turn = int(random.integers(0, 90))
        pen.regular_polygon((x, y, size), corners, rotation=turn, fill=COLOURS[colour])
    else:
        pen.ellipse((x - size, y - size, x + size, y + size), fill=COLOURS[colour])
    noise = random.normal(0, 30, (64, 64, 3))
    return np.clip(np.asarray(page) + noise, 0, 255).astype("uint8")


def answers(clip, described):
    """Zero-shot bars, the matrix of scenes and captions, and a search."""
    from keras_clip.command.classify import label_shares, ranked
    from keras_clip.models.prompts import Prompts

    paths = [DEMO / entry["file"] for entry in described["pictures"]]
    prompts = Prompts.from_labels(described["labels"], described["templates"])
    results = ranked(paths, prompts.names, label_shares(clip, paths, prompts), 3)
    truths = [entry["truth"] for entry in described["pictures"]]
    yield "zero_shot", plot.zero_shot_bars(results, truths)

    scenes = [DEMO / entry["file"] for entry in described["scenes"]]
    captions = [entry["caption"] for entry in described["scenes"]]
    vectors = clip.embed_images(scenes)
    cosines = vectors @ clip.embed_texts(captions).T
    yield "similarity_matrix", plot.similarity_matrix(scenes, captions, cosines)

    everything, query = [*paths, *scenes], "a blue shape"
    cosines = clip.embed_images(everything) @ clip.embed_texts(query)[0]
    best = np.argsort(-cosines)[:6]
    found = [everything[place] for place in best]
    yield "search_grid", plot.search_grid(found, cosines[best], query)


def measures(clip):
    """Confusion matrix, and calibration on a third of the pictures, told by the others."""
    random = np.random.default_rng(0)
    truths = random.permutation(np.repeat(np.arange(len(CLASSES)), 45))
    pixels = clip.image_processor([drawn(CLASSES[k], random) for k in truths])
    few, rest = slice(0, len(truths) // 3), slice(len(truths) // 3, None)
    classifier = clip.zero_shot_classifier(CLASSES, "{}")
    calibrated, _ = evaluate.calibrate(classifier, pixels[few], truths[few])
    curves = {}
    for title, model in (("as trained", classifier), ("calibrated", calibrated)):
        shares = model.predict(pixels[rest], verbose=0)
        said = shares.argmax(axis=1)
        if model is classifier:
            matrix = evaluate.confusion_matrix(truths[rest], said, len(CLASSES))
            yield "confusion_matrix", plot.confusion_matrix(matrix, CLASSES)
        curves[title] = evaluate.reliability(shares.max(axis=1), said == truths[rest], 10)
    yield "reliability", plot.reliability(curves)


def maps():
    """Where texts are, and what the pooling looks at, on a finer grid."""
    clip = keras_clip.from_preset(PRESET, image_size=192)
    vision, config = clip.get_layer("vision"), clip.image_processor.config
    scene, texts = DEMO / "scene_1.png", ["a brown heart", "a red cross", "a blue star"]
    pixels = clip.image_processor([scene])
    similarity = dense_similarity(clip, pixels, clip.embed_texts(texts))[0]
    yield "where", plot.where(scene, similarity, texts, config)
    cells = pooling_attention(vision, pixels)[0, :, 1:]  # without the mean, the first token
    cells = cells.reshape(-1, *vision.config.grid_size)
    yield "attention_map", plot.attention_map(scene, cells, config)
    rollout = attention_rollout(vision, pixels)[0]
    yield "attention_rollout", plot.attention_rollout(scene, rollout, config)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="folder; without it, a temporary one")
    options = parser.parse_args(arguments)
    folder = options.output or Path(tempfile.mkdtemp(prefix="keras-clip-pictures-"))

    clip = keras_clip.from_preset(PRESET)
    described = json.loads((DEMO / "demo.json").read_text("utf-8"))
    for part in (answers(clip, described), measures(clip), maps()):
        for name, figure in part:
            plot.save(figure, folder / f"{name}.png")
            print(folder / f"{name}.png")


if __name__ == "__main__":
    main()
