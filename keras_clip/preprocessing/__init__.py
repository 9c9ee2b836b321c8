"""Texts to token ids and images to pixels, exactly as the models were trained."""

from keras_clip.preprocessing.bpe_training import train_bpe, write_vocabulary
from keras_clip.preprocessing.tokenizer import CLIPTokenizer

__all__ = ["CLIPTokenizer", "train_bpe", "write_vocabulary"]
