"""Contrastive training: optimizer, pairs, checkpoints, callbacks, recipes."""

from keras_clip.models.contrastive import ContrastiveLoss
from keras_clip.train.checkpoint_restoring import latest, restore
from keras_clip.train.checkpoints import Checkpoints
from keras_clip.train.optimizer import AdamW, adamw
from keras_clip.train.pairs import Pairs

__all__ = ["AdamW", "Checkpoints", "ContrastiveLoss", "Pairs", "latest", "restore", "adamw"]
