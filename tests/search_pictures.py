"""Pictures of random pixels, and a model of them that is one line of NumPy."""

import numpy as np
from PIL import Image

from keras_clip.data import open_pictures
from keras_clip.preprocessing.image_config import ImageConfig
from keras_clip.preprocessing.images import ImageProcessor
from keras_clip.search import Description

DIMENSION = 16
PROCESSOR = ImageProcessor(ImageConfig(size=(4, 4)))
MODEL = Description("tiny", DIMENSION, {})


def embed(pixels):
    """(b, 4, 4, 3) -> (b, 16), not of unit length."""
    return pixels[..., 0].reshape(len(pixels), DIMENSION)


def write(path, seed):
    """A picture of 5 x 4 pixels, another one for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype="uint8")
    Image.fromarray(pixels).save(path)


def folder(path, count):
    """A folder with pictures 0 to count - 1, every third one in a folder of its own."""
    for number in range(count):
        write(path / ("sub" if number % 3 == 0 else "") / f"it's {number:03}.png", number)
    return path


def vectors_of(paths):
    """The unit vectors that an index should hold: (n, 16) float32."""
    rows = embed(PROCESSOR([str(path) for path in paths]))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def update(index, folder, embed=embed, batch_size=3):
    return index.update(open_pictures(folder), PROCESSOR, embed, batch_size)


def stored(index):
    """{path: vector} of an index."""
    ids, vectors = index.database.vectors()
    return {row["path"]: v for row, v in zip(index.database.rows(ids), vectors, strict=True)}


def assert_holds(index, folder):
    """The index has exactly the folder's pictures, each once, with its vector."""
    pictures, found = open_pictures(folder), stored(index)
    assert len(index) == len(found) and sorted(found) == pictures.keys
    expected = vectors_of(pictures.paths)
    np.testing.assert_allclose([found[key] for key in pictures.keys], expected, atol=1e-6)
