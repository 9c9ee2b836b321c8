"""Pictures of a folder, a table or tar shards, found, named and decoded ahead."""

from keras_clip.data.decoding import Batch, decoded
from keras_clip.data.opening import open_pictures
from keras_clip.data.pictures import Picture, Pictures

__all__ = ["Batch", "Picture", "Pictures", "decoded", "open_pictures"]
