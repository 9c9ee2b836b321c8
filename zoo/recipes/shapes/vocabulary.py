"""The recipe's own byte-pair vocabulary, in the format of CLIP's vocabulary file."""

from pathlib import Path

import numpy as np
from dataset import draw_captions

from keras_clip.preprocessing import train_bpe

PATH = Path(__file__).parent / "bpe_shapes_vocab.txt.gz"
SIZE = 900  # more than these captions fill: every word becomes one token
SEED = 7
CAPTIONS = 12_000


def sample_captions(count=CAPTIONS, seed=SEED):
    """`count` training captions; every draw is free of clashes within 120."""
    rng = np.random.default_rng(seed)
    return [caption for _ in range(count // 120) for caption in draw_captions(120, rng)[1]]


def write(path=PATH):
    """Learns the merges and writes the file; the same bytes every time. Returns the merges."""
    return train_bpe(sample_captions(), SIZE, path)
