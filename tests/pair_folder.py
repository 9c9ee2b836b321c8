"""A folder of small pictures with captions, what is in a batch of it, and what breaks it."""

import io
import tarfile
from types import SimpleNamespace

import numpy as np
from PIL import Image
from tiny_models import IMAGE_SIZE, tiny_text_config, tiny_tokenizer

from keras_clip.preprocessing import Augmentation, ImageConfig, ImageProcessor

COUNT = 23
AUGMENTATION = Augmentation((0.4, 1), flip_rate=0.5, color_jitter=(0.3, 0.3, 0.3, 0.1))
TOKENIZER = tiny_tokenizer()
MODEL = SimpleNamespace(  # all that pairs ask of a CLIP
    image_processor=ImageProcessor(ImageConfig(IMAGE_SIZE)),
    tokenizer=TOKENIZER,
    config=SimpleNamespace(text=tiny_text_config()),
)
BROKEN = ("03.png", "11.png", "20.png")


def captions(number):
    """One, two or three captions; the first tells which picture it is."""
    return [f"number {number}", "a photo", "a picture"][: 1 + number % 3]


def write_pairs(folder):
    """Write pictures 00.png to 22.png of different sizes, with captions beside them."""
    random = np.random.default_rng(0)
    for number in range(COUNT):
        size = (20 + number, 41 - number, 3)
        Image.fromarray(random.integers(0, 256, size, "uint8")).save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text("\n".join(captions(number)))
    return folder


def write_broken_pairs(folder):
    """The same with three broken samples: no picture, half a picture, no caption."""
    write_pairs(folder)
    (folder / "03.png").write_bytes(b"")
    with open(folder / "11.png", "r+b") as file:
        file.truncate(200)
    (folder / "20.txt").write_text("\n \n")
    return folder


def assert_same(left, right):
    """Two batches, dictionaries or (dictionary, y), are equal to the last bit."""
    left, right = (one if isinstance(one, tuple) else (one,) for one in (left, right))
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        for name in one if isinstance(one, dict) else [...]:
            np.testing.assert_array_equal(one[name], other[name])


def png():
    """The bytes of a picture."""
    file = io.BytesIO()
    Image.fromarray(np.arange(12 * 12 * 3, dtype="uint8").reshape(12, 12, 3)).save(file, "PNG")
    return file.getvalue()


def shard(path, members):
    """Write members (name, bytes) into a tar file."""
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path
