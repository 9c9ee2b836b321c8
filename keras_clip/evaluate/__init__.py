"""Zero-shot, probes, neighbours, retrieval, calibration: arrays in, numbers out."""

from keras_clip.evaluate.calibration import Calibration, calibrate, fit_calibration
from keras_clip.evaluate.extraction import Features, features
from keras_clip.evaluate.few_shot import FewShot, few_shot
from keras_clip.evaluate.linear_probe import LinearProbe, linear_probe
from keras_clip.evaluate.metrics import (
    average_precision,
    bootstrap_interval,
    confusion_matrix,
    expected_calibration_error,
    mean_per_class,
    reliability,
)
from keras_clip.evaluate.neighbors import Neighbors, knn
from keras_clip.evaluate.retrieval import Retrieval, caption_retrieval, retrieval
from keras_clip.evaluate.zero_shot import ZeroShotScores, zero_shot

__all__ = [
    "Calibration",
    "Features",
    "FewShot",
    "LinearProbe",
    "Neighbors",
    "Retrieval",
    "ZeroShotScores",
    "average_precision",
    "bootstrap_interval",
    "calibrate",
    "caption_retrieval",
    "confusion_matrix",
    "expected_calibration_error",
    "features",
    "few_shot",
    "fit_calibration",
    "knn",
    "linear_probe",
    "mean_per_class",
    "reliability",
    "retrieval",
    "zero_shot",
]
