"""Contrastive training: optimizer, pairs, checkpoints, callbacks, recipes."""

from keras_clip.models.contrastive import ContrastiveLoss
from keras_clip.train.best_weights import BestWeights
from keras_clip.train.checkpoint_restoring import latest, restore
from keras_clip.train.checkpoints import Checkpoints
from keras_clip.train.drift import ZeroShotDrift
from keras_clip.train.evaluation import Evaluate
from keras_clip.train.measures import retrieval, zero_shot
from keras_clip.train.not_a_number import StopOnNaN, TrainingDivergedError
from keras_clip.train.optimizer import AdamW, adamw
from keras_clip.train.pairs import Pairs
from keras_clip.train.plan import Plan, plan
from keras_clip.train.progress import Progress
from keras_clip.train.recipe import Recipe
from keras_clip.train.recipe_dry_run import dry_run
from keras_clip.train.run import run
from keras_clip.train.step_log import StepLog

__all__ = [
    "AdamW",
    "BestWeights",
    "Checkpoints",
    "ContrastiveLoss",
    "Evaluate",
    "Pairs",
    "Plan",
    "Progress",
    "Recipe",
    "StepLog",
    "StopOnNaN",
    "TrainingDivergedError",
    "ZeroShotDrift",
    "adamw",
    "dry_run",
    "latest",
    "plan",
    "restore",
    "retrieval",
    "run",
    "zero_shot",
]
