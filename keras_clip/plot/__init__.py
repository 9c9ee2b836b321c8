"""Pictures of results, drawn by matplotlib: each function returns a Figure, `save` writes it."""

from keras_clip.plot.bars import zero_shot_bars
from keras_clip.plot.confusion import confusion_matrix
from keras_clip.plot.curves import few_shot, probe_sweep, reliability
from keras_clip.plot.grids import search_grid
from keras_clip.plot.matrices import similarity_matrix
from keras_clip.plot.overlays import attention_map, attention_rollout, where
from keras_clip.plot.saving import check_path, save
from keras_clip.plot.trade_off import wise_ft

__all__ = [
    "attention_map",
    "attention_rollout",
    "check_path",
    "confusion_matrix",
    "few_shot",
    "probe_sweep",
    "reliability",
    "save",
    "search_grid",
    "similarity_matrix",
    "where",
    "wise_ft",
    "zero_shot_bars",
]
