"""Batches of pictures and captions to train on, each a pure function of a seed and its number."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_clip.data import open_pictures
from keras_clip.models.text_lengths import check_length
from keras_clip.preprocessing.image_files import ImageError
from keras_clip.preprocessing.images import core_count
from keras_clip.train.pair_broken import Broken, BrokenPairsError, told
from keras_clip.train.pair_order import Order, import_grain
from keras_clip.train.pair_samples import Samples

_GROUPS = (None, "labels", "pictures")
_AHEAD = 2  # batches that threads work on while one is computed with


class Pairs:
    """Image-text pairs in batches; batch k depends on `seed` and k alone.

    `pairs[k]` is {"images": (n, H, W, 3) float32, "token_ids": (n, T) int32}, or (that, y) with
    `groups`. k runs on from epoch to epoch, each with an order, crops and captions of its own.
    `pairs.batches(start)` gives them one after another to `fit`, decoded ahead, and continues a run
    exactly, whatever the number of threads and workers.

    A sample that cannot be used (its picture cannot be read, or it has no caption) is named in the
    log `keras_clip` and in `broken`; the picture at its place in the next batch takes its place.

    Args:
        source: what `keras_clip.data.open_pictures` takes, or has made, with captions.
        clip: CLIP with a tokenizer, whose inputs they become.
        batch_size: int. Pairs a batch, on all hosts together. What is left of an epoch after the
            last whole batch is left out.
        augmentation: Augmentation, or None: pictures as the model sees them in use.
        seed: int from 0.
        shuffle: bool. False: in the order of the source, every epoch.
        captions: of a picture with several, "random" takes one at a time, "first" the first, an
            int so many: `token_ids` is then (n, captions, T). A picture with fewer repeats its own.
        groups: what pairs that are no negatives of each other have in common, as `y` (n,) int32:
            None, no `y`; "labels", the class of the source; or "pictures", its row.
        hosts: (index, count). Each of `count` hosts gets its own n = batch_size / count pairs.
        threads: that decode; None: one a core, or one in each worker. Pillow lets go of the
            interpreter meanwhile.
        workers: processes that read ahead; 0: none. They pay where the model itself keeps Python
            busy; a script that uses them needs `if __name__ == "__main__":`.
        max_broken: 0 to 1, the largest share of samples that may be unusable.
        columns: as of `open_pictures`.
        context_length: int. Tokens that captions are padded to, longer ones being cut; None: the
            model's. Steps become as much faster as a causal text tower has less to read; others
            read the padding too, and have no choice.

    Raises:
        ValueError: an argument is out of range, there are no captions, or less than a batch.
        FileNotFoundError: there is no such source.
        ImportError: grain is not installed.
    """

    def __init__(
        self,
        source,
        clip,
        batch_size,
        augmentation=None,
        seed=0,
        shuffle=True,
        captions="random",
        groups=None,
        hosts=(0, 1),
        threads=None,
        workers=0,
        max_broken=0.01,
        columns=None,
        context_length=None,
    ):
        import_grain()
        pictures = open_pictures(source, columns)
        _check_numbers(seed, captions, workers, max_broken)
        _check_pictures(pictures, batch_size, groups)
        if context_length is not None:
            check_length(context_length, clip.config.text)
        self.pictures, self.groups, self.workers = pictures, groups, workers
        self.batch_size, self.places = batch_size, _places(batch_size, *hosts)
        self._samples = Samples(pictures, clip.image_processor, augmentation, seed, captions)
        self._tokenizer = clip.tokenizer
        self._context_length = context_length
        self._order = Order(len(pictures), batch_size, seed if shuffle else None)
        self._threads = threads or (1 if workers else core_count())
        self._broken = Broken(max_broken)
        self._pool = None

    def __len__(self):
        return self._order.batches

    def __repr__(self):
        return f"Pairs({len(self)} batches of {self.batch_size} an epoch)"

    def __getitem__(self, k):
        if k < 0:
            raise IndexError(f"Batches have the numbers 0, 1, 2, ...; there is no {k}.")
        return self._noted((k, *self.make(k)))

    def __iter__(self):
        """The batches of one epoch, the first."""
        return iter(self.batches(0, len(self)))

    def __getstate__(self):
        return {**self.__dict__, "_pool": None}

    @property
    def broken(self):
        """{key: reason} of the samples that could not be used so far, the first 100,000."""
        return self._broken.reasons

    @property
    def num_broken(self):
        """Samples that could not be used so far; each counts once an epoch."""
        return self._broken.count

    def batches(self, start=0, stop=None):
        """Batches `start` to `stop`, over as many epochs as it takes, read ahead.

        Args:
            start: int. Number of the first, such as the steps that are done already.
            stop: int or None. None: they do not end; give `fit` its `steps_per_epoch`.

        Returns:
            grain.IterDataset. Keras's `fit` looks at its first two batches beforehand.
        """
        grain = import_grain()
        if start < 0 or (stop is not None and stop < start):
            raise ValueError(f"start is from 0 and stop from start, not {start} and {stop}.")
        ahead = 1 if self.workers else _AHEAD
        options = grain.ReadOptions(num_threads=ahead, prefetch_buffer_size=ahead)
        source = grain.MapDataset.source(_Numbered(self, start, stop))
        dataset = source.to_iter_dataset(options)
        if self.workers:
            _parse_flags()
            processes = grain.MultiprocessingOptions(num_workers=self.workers)
            dataset = dataset.mp_prefetch(processes)
        return dataset.map(self._noted)

    def make(self, k):
        """Batch k, and a list of (key, reason) of the samples that others took the place of."""
        epoch, number = divmod(k, len(self))
        arrays = self._samples.empty(len(self.places))
        first = number * self.batch_size + self.places.start

        def fill(place):
            return self._fill(arrays, place, epoch, first + place)

        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="pairs")
        rows, texts, broken = zip(*self._pool.map(fill, range(len(self.places))), strict=True)
        token_ids = self._tokenizer([text for some in texts for text in some], self._context_length)
        if isinstance(self._samples.captions, int):
            token_ids = token_ids.reshape(len(rows), self._samples.captions, -1)
        x = {"images": arrays.get("images", arrays), "token_ids": token_ids}
        batch = x if self.groups is None else (x, self._common(rows))
        return batch, [one for some in broken for one in some]

    def _fill(self, arrays, place, epoch, position):
        broken = []
        for row in self._order.candidates(epoch, position):
            try:
                return row, self._samples.fill(arrays, place, epoch, row), broken
            except ImageError as error:
                broken.append((self.pictures.keys[row], str(error)))
        raise BrokenPairsError(f"{len(broken)} samples in a row cannot be used: {told(broken)}")

    def _common(self, rows):
        rows = np.array(rows, "int64")
        values = rows if self.groups == "pictures" else self.pictures.labels[rows]
        return values.astype("int32")

    def _noted(self, made):
        k, batch, broken = made
        self._broken.add(k, len(self.places), broken)
        return batch


class _Numbered:
    """What grain reads from: batches by their numbers, and what they tell of broken samples."""

    def __init__(self, pairs, start, stop):
        self.pairs, self.start = pairs, start
        self.count = sys.maxsize if stop is None else stop - start

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        k = self.start + index
        return k, *self.pairs.make(k)


def _parse_flags():
    """Give grain's worker processes the command-line flags that they look at: the defaults."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def _places(batch_size, index, count):
    """The places of one host in every batch, a range."""
    if not 0 <= index < count or batch_size % count:
        raise ValueError(
            f"hosts is (index, count) with index from 0 to count - 1, and count divides the "
            f"batch_size of {batch_size}; it is {(index, count)}."
        )
    size = batch_size // count
    return range(index * size, (index + 1) * size)


def _check_numbers(seed, captions, workers, max_broken):
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed is a whole number from 0, not {seed!r}.")
    number = isinstance(captions, int) and not isinstance(captions, bool) and captions > 0
    if not number and captions not in ("random", "first"):
        raise ValueError(f'captions is "random", "first" or a positive int, not {captions!r}.')
    if workers < 0:
        raise ValueError(f"workers is a number of processes from 0, not {workers}.")
    if not 0 <= max_broken <= 1:
        raise ValueError(f"max_broken is a share from 0 to 1, not {max_broken}.")


def _check_pictures(pictures, batch_size, groups):
    if pictures.captions is None:
        raise ValueError(
            "The pictures have no captions: give a table with a column `caption`, shards with "
            "`.txt`, or a folder with `NAME.txt` beside `NAME.jpg`; or name them by `columns`."
        )
    if not 1 <= batch_size <= len(pictures):
        raise ValueError(
            f"batch_size is from 1 to the number of pictures, {len(pictures)}, not {batch_size}."
        )
    if groups not in _GROUPS:
        raise ValueError(f"groups is one of {_GROUPS}, not {groups!r}.")
    if groups == "labels" and pictures.labels is None:
        raise ValueError('The pictures have no labels, which groups="labels" takes.')
