"""A local web page: classify, search an index, see where."""

from keras_clip.app.serving import serve

__all__ = ["serve"]
