"""One picture of a data set and some of its captions, as a model takes them."""

import numpy as np

from keras_clip.data.captions import read_captions
from keras_clip.preprocessing.image_config import ImageConfig
from keras_clip.preprocessing.image_files import ImageError
from keras_clip.preprocessing.images import normalize

_PIXEL = np.zeros((1, 1, 3), "uint8")


class Samples:
    """Pictures and captions by epoch and row; the same numbers always give the same sample.

    Args:
        pictures: Pictures with captions.
        processor: image processor of the model.
        augmentation: Augmentation or None.
        seed: int.
        captions: "random", "first" or an int.
    """

    def __init__(self, pictures, processor, augmentation, seed, captions):
        self.pictures, self.processor, self.augmentation = pictures, processor, augmentation
        self.seed, self.captions = seed, captions
        if augmentation is not None and not isinstance(processor.config, ImageConfig):
            raise ValueError(
                "The pictures of a NaFlex model keep their proportions: augmentation is None."
            )

    def empty(self, count):
        """Arrays for the pictures of `count` samples: {name: (count, ...)}."""
        parts = self.processor([_PIXEL])
        parts = parts if isinstance(parts, dict) else {"images": parts}
        return {name: np.empty((count, *x.shape[1:]), x.dtype) for name, x in parts.items()}

    def fill(self, arrays, place, epoch, row):
        """Put a picture into its place of the arrays; its captions are returned, a list of str.

        Raises:
            ImageError: the sample cannot be used; the message does not repeat its key.
        """
        random = np.random.default_rng([self.seed, epoch, row])
        texts = self._chosen(read_captions(self.pictures, row), random)
        source = self.pictures.read(row)
        try:
            self._put(arrays, place, source, random)
        except ImageError as error:
            name = source if isinstance(source, str) else "The image bytes"
            raise ImageError(str(error).removeprefix(f"{name}: ")) from error
        return texts

    def _put(self, arrays, place, source, random):
        config = self.processor.config
        if not isinstance(config, ImageConfig):
            for name, parts in self.processor([source]).items():
                arrays[name][place] = parts[0]
            return
        pixels = arrays["images"][place]  # normalised where they stay, which saves a copy
        if self.augmentation is None:
            pixels[:] = self.processor.pixels(source)
        else:
            pixels[:] = self.augmentation.pixels(source, config, random)
        normalize(pixels, config)

    def _chosen(self, texts, random):
        if self.captions == "first":
            return texts[:1]
        if self.captions == "random":
            return [texts[random.integers(len(texts))]]
        # Where there are fewer than asked for, each comes as often as another, or once more.
        order = random.permutation(len(texts))
        return [texts[order[k % len(texts)]] for k in range(self.captions)]
