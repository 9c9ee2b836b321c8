"""How a fine-tuning goes: rates, lengths, regularisation, with defaults that do not diverge."""

from dataclasses import dataclass

import numpy as np

from keras_clip.finetune.adapters import adapted_layers
from keras_clip.train import adamw

# Of a ViT-B/32, which has 86 million weights in its image tower; larger models take smaller steps.
_FULL_RATE, _FULL_WEIGHTS = 1e-5, 86e6
_SMALLEST, _LARGEST = 1e-6, 3e-4
_ADAPTERS = 10  # times the rate of full fine-tuning: their product is small at first
_HEAD_RATE = 1e-3


@dataclass(frozen=True)
class Settings:
    """What all recipes that train by gradients take as keywords.

    Args:
        epochs: int.
        batch_size: int. Pictures a step, of arrays and pictures; data sets have their own.
        learning_rate: float or None. None: by what trains, and how large the model is, see
            `default_learning_rate`.
        weight_decay: float, of kernels.
        layer_decay: float or None. The rate of a block is this times that of the next.
        clip_norm: float or None. Of all gradients together.
        ema_momentum: float or None. End with a moving average of the weights.
        label_smoothing: float, 0 to below 1.
        mix: keras.layers.MixUp, CutMix or such, which is applied to each batch; or None.
        augmentation: keras_clip.preprocessing.Augmentation or None, of pictures.
        batch_norm: bool. Whether batch norms use the statistics of a batch and train; by default
            they keep the pretrained ones.
        steps_per_epoch: int, for a data set that does not know its length; or None.
        seed: int, of order, prompts and augmentation.
        optimizer: keras.optimizers.Optimizer in the place of all that is said of rates; or None.
        chunk_size: int or None. Of contrastive recipes, as for `clip.compile`.
    """

    epochs: int = 10
    batch_size: int = 32
    learning_rate: float | None = None
    weight_decay: float = 0.05
    layer_decay: float | None = None
    clip_norm: float | None = 1.0
    ema_momentum: float | None = None
    label_smoothing: float = 0.0
    mix: object = None
    augmentation: object = None
    batch_norm: bool = False
    steps_per_epoch: int | None = None
    seed: int = 0
    optimizer: object = None
    chunk_size: int | None = None

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise ValueError(f"{name} is a whole number of at least 1.")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing is 0 to below 1, not {self.label_smoothing}.")

    def make_optimizer(self, model, steps):
        """The optimizer of a run of so many steps: AdamW, a tenth of them warm-up."""
        if self.optimizer is not None:
            return self.optimizer
        rate = self.learning_rate
        return adamw(
            model, default_learning_rate(model) if rate is None else rate, steps,
            weight_decay=self.weight_decay, layer_decay=self.layer_decay,
            clip_norm=self.clip_norm, ema_momentum=self.ema_momentum,
        )  # fmt: skip


def default_learning_rate(model):
    """The learning rate for what of a model trains.

    1e-3 where that is a head alone; else 1e-5 * 86 million / the number of weights, from 1e-6 to
    3e-4; and 10 times as much for adapters.

    Args:
        model: keras.Model, frozen and with adapters as it will be trained.

    Raises:
        ValueError: nothing trains, or what trains is held in half precision.
    """
    check_trainable(model)
    heads = {
        id(weight) for layer in model.layers if layer.name == "head" for weight in layer.weights
    }
    if all(id(weight) in heads for weight in model.trainable_variables):
        return _HEAD_RATE
    rate = np.clip(_FULL_RATE * _FULL_WEIGHTS / model.count_params(), _SMALLEST, _LARGEST)
    return float(_ADAPTERS * rate if adapted_layers(model) else rate)


def check_trainable(model):
    """Raise a ValueError where nothing trains, or where it is held in half precision."""
    weights = model.trainable_variables
    if not weights:
        raise ValueError(f"Nothing of {model.name!r} trains: full(model) lets everything.")
    half = next((weight for weight in weights if weight.dtype in ("float16", "bfloat16")), None)
    if half is not None:
        raise ValueError(
            f"{half.path} is kept in {half.dtype}, in which small steps are lost: load the model "
            f'with dtype="mixed_{half.dtype}".'
        )
