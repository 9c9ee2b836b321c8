"""Fine-tuning that keeps what the model knew: recipes as small functions on Keras models."""

from keras_clip.finetune.adapter_files import load_adapters, save_adapters
from keras_clip.finetune.adapters import lora, merge_adapters
from keras_clip.finetune.copies import adopt_tower, copied
from keras_clip.finetune.flyp import flyp
from keras_clip.finetune.freezing import full, lit, only_head, partial
from keras_clip.finetune.interpolation import Sweep, interpolate, sweep
from keras_clip.finetune.probing import linear_probe, lp_ft
from keras_clip.finetune.settings import Settings, default_learning_rate
from keras_clip.finetune.tuning import tune

__all__ = [
    "Settings",
    "Sweep",
    "adopt_tower",
    "copied",
    "default_learning_rate",
    "flyp",
    "full",
    "interpolate",
    "linear_probe",
    "lit",
    "load_adapters",
    "lora",
    "lp_ft",
    "merge_adapters",
    "only_head",
    "partial",
    "save_adapters",
    "sweep",
    "tune",
]
