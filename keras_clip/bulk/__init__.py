"""Embedding of any number of pictures into a directory, which a killed run goes on with."""

from keras_clip.bulk.job import embed, plan
from keras_clip.bulk.loading import Vectors, load
from keras_clip.bulk.ray_engine import RayEngine
from keras_clip.bulk.settings import Settings

__all__ = ["RayEngine", "Settings", "Vectors", "embed", "load", "plan"]
