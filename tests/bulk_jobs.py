"""Jobs small enough for tests: pictures, a model of one product, and what a directory holds."""

import numpy as np
from PIL import Image

from keras_clip import bulk
from keras_clip.data import open_pictures
from keras_clip.preprocessing.image_config import ImageConfig
from keras_clip.preprocessing.images import ImageProcessor

COUNT, DIM = 23, 6
PROCESSOR = ImageProcessor(ImageConfig(8))
SETTINGS = {
    "model": "product", "weights": "0123456789abcdef", "dim": DIM, "backend": "numpy",
    "source": "photos", "batch_size": 3, "part_rows": 7,
}  # fmt: skip
_KERNEL = np.random.default_rng(1).normal(size=(8 * 8 * 3, DIM)).astype("float32")


def embed_pixels(pixels):
    """Pixels (k, 8, 8, 3) -> (k, DIM) of unit length."""
    rows = pixels.reshape(len(pixels), -1) @ _KERNEL
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def make_photos(folder, count=COUNT):
    """Write pictures of two classes, and open them."""
    random = np.random.default_rng(0)
    for number in range(count):
        path = folder / ("ant", "bee")[number % 2] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (9, 12 + number, 3), "uint8")).save(path)
    return open_pictures(folder)


def embed(pictures, directory, compute=embed_pixels, engine=None, **settings):
    """Run the job."""
    settings = bulk.Settings(**{**SETTINGS, **settings})
    return bulk.embed(compute, PROCESSOR, pictures, directory, settings, engine=engine)


def contents(directory):
    """{name: bytes} of all that a job has left, its empty lock apart."""
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != ".lock"}
