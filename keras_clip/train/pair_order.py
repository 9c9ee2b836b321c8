"""Which picture stands where: an order for every epoch, without an array of it."""

from functools import lru_cache

import numpy as np

_TRIES = 32


class Order:
    """Rows of `count` pictures, epoch by epoch, in batches of `batch_size`.

    What is left after the last whole batch of an epoch is left out; the next epoch, which has
    another order, leaves out others.

    Args:
        count: int, from `batch_size`.
        batch_size: int.
        seed: int or None. None: always in the order of the source.

    Raises:
        ImportError: grain is not installed.
    """

    def __init__(self, count, batch_size, seed):
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.batches = count // batch_size

    def candidates(self, epoch, position):
        """Yield rows: the one at a position of an epoch, and others to take if that is broken.

        Those are the pictures at the same place in the batches that follow, around to the first,
        so that no batch of some size gets a picture twice, on whichever host the place is.
        """
        columns = -(-self.count // self.batch_size)
        whole = columns * self.batch_size
        for turn in range(_TRIES):
            # After a whole lap, of a source of few batches, the neighbouring places come.
            found = (position + turn * self.batch_size + turn // columns) % whole
            if found < self.count:
                yield self.row(epoch, found)

    def row(self, epoch, position):
        """The row at a position, 0 to count - 1, of an epoch."""
        if self.seed is None:
            return position
        return _shuffled(self.count, self.seed, epoch)[position]


@lru_cache(4)
def _shuffled(count, seed, epoch):
    grain = import_grain()

    # grain's own seed of an epoch is seed + epoch: seed 1 would be seed 0 an epoch later.
    (mixed,) = np.random.SeedSequence([seed, epoch]).generate_state(1)
    return grain.MapDataset.range(count).shuffle(seed=int(mixed))


def import_grain():
    """Import grain, or say how to install it."""
    try:
        import grain
    except ImportError as error:
        raise ImportError(
            'Training pairs need grain: pip install "keras-clip[train]".', name="grain"
        ) from error
    return grain
