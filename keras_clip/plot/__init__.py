"""Pictures of results, drawn by matplotlib."""

from keras_clip.plot.answers import similarity_grid, zero_shot_bars

__all__ = ["similarity_grid", "zero_shot_bars"]
