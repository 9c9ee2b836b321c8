"""CLIP and vision transformers for Keras 3, with the official checkpoints."""

from keras_clip.version import __version__

__all__ = ["__version__"]
