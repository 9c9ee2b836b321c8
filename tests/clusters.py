"""Features like a CLIP's: a common offset, few strong directions, classes that overlap."""

import numpy as np


def clusters(count, dim, num_classes, seed=0, signal=0.5, dtype="float32"):
    """Features (count, dim) and labels (count,), every class with an example."""
    fixed, random = np.random.default_rng(7), np.random.default_rng(seed)
    axes = np.linalg.qr(fixed.standard_normal((dim, dim)))[0] / np.arange(1, dim + 1)[:, None]
    means = signal * fixed.standard_normal((num_classes, dim)) @ axes
    labels = random.permutation(np.arange(count) % num_classes)
    noise = random.standard_normal((count, dim)) @ axes
    return (fixed.standard_normal(dim) + means[labels] + noise).astype(dtype), labels
