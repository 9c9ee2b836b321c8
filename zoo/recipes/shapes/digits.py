"""The handwritten digits that scikit-learn carries (UCI, 8 x 8 pixels), split once and for all."""

from functools import cache

import numpy as np

SPLIT_SEED = 2024
TEST_PER_DIGIT = 36


@cache
def load():
    """(inks (1797, 8, 8) float32 in 0..1, labels (1797,) int)."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return (data.images / 16.0).astype("float32"), data.target


@cache
def indices(split):
    """{digit: indices of its pictures} of "train" or "test"; 36 pictures a digit are test."""
    if split not in ("train", "test"):
        raise ValueError(f"split is 'train' or 'test', not {split!r}")
    labels = load()[1]
    rng = np.random.default_rng(SPLIT_SEED)
    found = {}
    for value in range(10):
        order = rng.permutation(np.flatnonzero(labels == value))
        found[value] = order[:TEST_PER_DIGIT] if split == "test" else order[TEST_PER_DIGIT:]
    return found


def ink(value, rng, split="train"):
    """One picture of the digit `value`, drawn by lot from the split: (8, 8) float32 in 0..1."""
    chosen = indices(split)[value]
    return load()[0][chosen[int(rng.integers(len(chosen)))]]
