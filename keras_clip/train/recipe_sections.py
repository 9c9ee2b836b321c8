"""What stands in each table of a recipe."""

import typing
from dataclasses import dataclass, field, fields
from typing import Literal

from keras_clip.models.config import CLIPConfig, NaFlexConfig, ResNetConfig, TextConfig, ViTConfig
from keras_clip.preprocessing import Augmentation
from keras_clip.train.recipe_reading import checked

_TOWERS = {"vision": (ViTConfig, ResNetConfig, NaFlexConfig), "text": (TextConfig,)}
_CLIP_FIELDS = [f.name for f in fields(CLIPConfig) if f.name not in _TOWERS]


def _positive(section, *names):
    for name in names:
        value = getattr(section, name)
        if value is not None and value <= 0:
            raise ValueError(f"{name} is above 0, not {value}.")


@dataclass(frozen=True)
class ModelSection:
    """`[model]`: what is trained.

    Args:
        start: what `keras_clip.from_preset` takes; None: `vision` and `text` say all.
        load_weights: False: of `start` only the architecture is taken.
        vision: fields of ViTConfig, ResNetConfig (with `stage_blocks`) or NaFlexConfig; beside
            `start`, those that are to be different.
        text: fields of TextConfig, likewise; without `start`, the tokenizer gives
            `vocabulary_size` where it is left out.
        tokenizer: path of a vocabulary, or a preset whose tokenizer is taken.
        initial_scale, max_scale, initial_bias: as of CLIPConfig; a bias means a sigmoid (SigLIP).
        dtype: dtype policy, such as `mixed_bfloat16`; the weights that are trained stay float32.
        save_dtype: of the weights in the finished preset, such as `float16`; None: as trained.
        remat: whether each block is computed again in the backward pass, to save memory.
        lock_image, lock_text: whether the tower stays as it is (LiT locks the images').
    """

    start: str | None = None
    load_weights: bool = True
    vision: dict = field(default_factory=dict)
    text: dict = field(default_factory=dict)
    tokenizer: str | None = None
    initial_scale: float | None = None
    max_scale: float | None = None
    initial_bias: float | None = None
    dtype: str | None = None
    save_dtype: str | None = None
    remat: bool = False
    lock_image: bool = False
    lock_text: bool = False

    def __post_init__(self):
        for name, kinds in _TOWERS.items():
            hints = {k: v for kind in kinds for k, v in typing.get_type_hints(kind).items()}
            image = hints.pop("image", None)
            values = dict(getattr(self, name))
            inside = values.pop("image", None) if image else None
            checked(hints, values, name)
            if inside is not None:
                checked(_image_hints(kinds), inside, f"{name}, image")
        if not self.start and not (self.vision and self.text):
            raise ValueError("give `start`, a preset, or both [model.vision] and [model.text].")
        if self.dtype and self.dtype not in _DTYPES:
            raise ValueError(f"dtype is one of {', '.join(_DTYPES)}, not {self.dtype!r}.")

    @property
    def clip_fields(self):
        """The fields of CLIPConfig that are given, towers left out: {name: value}."""
        given = {name: getattr(self, name) for name in _CLIP_FIELDS}
        return {name: value for name, value in given.items() if value is not None}


_DTYPES = ("float32", "mixed_bfloat16", "mixed_float16")  # master weights are float32


def _image_hints(kinds):
    found = {}
    for kind in kinds:
        found.update(typing.get_type_hints(typing.get_type_hints(kind)["image"]))
    return found


@dataclass(frozen=True)
class DataSection:
    """`[data]`: the pairs.

    Args:
        source: what `keras_clip.data.open_pictures` takes: a folder, a table, tar shards.
        columns: {"image": name, "caption": name or names} of a table or shards, as of
            `open_pictures`; empty: common names.
        batch_size: pairs a step, over all hosts.
        chunk_size: pairs computed at a time, which bounds memory and changes no gradient; None:
            all.
        shuffle: whether each epoch has an order of its own.
        captions: of a picture with several, `random` takes one at a time, `first` the first, a
            number so many of them.
        context_length: tokens that captions are cut and padded to, which makes steps faster; None:
            the model's.
        groups: pairs that are no negatives of each other: of one class (`labels`), or with one
            picture (`pictures`); None: none.
        threads: that decode; None: one a core.
        workers: processes that read ahead; 0: none.
        max_broken: largest share of pairs that cannot be read, beyond which the run stops.
        augmentation: as of `keras_clip.preprocessing.Augmentation`; None: pictures as in use.
    """

    source: str | tuple[str, ...]
    columns: dict = field(default_factory=dict)
    batch_size: int = 256
    chunk_size: int | None = None
    shuffle: bool = True
    captions: Literal["random", "first"] | int = "random"
    context_length: int | None = None
    groups: Literal["labels", "pictures"] | None = None
    threads: int | None = None
    workers: int = 0
    max_broken: float = 0.01
    augmentation: Augmentation | None = None

    def __post_init__(self):
        if self.batch_size < 2:
            raise ValueError(
                f"batch_size is at least 2, not {self.batch_size}: the other pairs of a batch are "
                "what a pair is told from."
            )
        _positive(self, "chunk_size", "threads")


@dataclass(frozen=True)
class LossSection:
    """`[loss]`: as of `keras_clip.train.ContrastiveLoss`.

    Args:
        label_smoothing: from 0 to below 1.
        match_duplicates: whether equal captions, and equal pictures, of a batch are no negatives.
        teacher: a preset whose logits are learnt too (distillation); None: none.
        distillation_weight: what the teacher's part is multiplied with.
    """

    label_smoothing: float = 0.0
    match_duplicates: bool = False
    teacher: str | None = None
    distillation_weight: float = 1.0


@dataclass(frozen=True)
class OptimizerSection:
    """`[optimizer]`: as of `keras_clip.train.adamw`.

    Args:
        learning_rate: the largest, at the end of the warm-up.
        warmup_steps: steps in which it rises; None: a tenth of the run, at most 2000.
        weight_decay, beta_1, beta_2, epsilon: of AdamW.
        layer_decay: factor from each block to the one below it; None: all learn alike.
        clip_norm: largest norm of the gradients together; `inf`: any.
        ema_momentum: of the average of the weights that the run ends with; None: no average.
    """

    learning_rate: float
    warmup_steps: int | None = None
    weight_decay: float = 0.2
    beta_1: float = 0.9
    beta_2: float = 0.98
    epsilon: float = 1e-6
    layer_decay: float | None = None
    clip_norm: float = 1.0
    ema_momentum: float | None = None

    def __post_init__(self):
        _positive(self, "learning_rate", "layer_decay", "clip_norm", "ema_momentum", "epsilon")


@dataclass(frozen=True)
class RunSection:
    """`[run]`: how long, and what is written on the way.

    Args:
        steps: steps in all; or
        epochs: times that every pair is seen; may be a fraction.
        seed: of weights, order, augmentation and dropout.
        log_every: steps between rows of the log.
        checkpoint_every: steps between checkpoints.
        keep: checkpoints that stay.
        evaluate_every: steps between evaluations; they come at the end in any case.
        best: `name/metric` of an evaluation, such as `zero_shot/top1`; the run ends with the
            weights for which it was highest. None: the last.
        patience: evaluations without a better one that end the run; None: any number.
    """

    steps: int | None = None
    epochs: float | None = None
    seed: int = 0
    log_every: int = 10
    checkpoint_every: int = 1000
    keep: int = 3
    evaluate_every: int = 1000
    best: str | None = None
    patience: int | None = None

    def __post_init__(self):
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs.")
        counts = ("log_every", "checkpoint_every", "keep", "evaluate_every", "patience")
        _positive(self, "steps", "epochs", *counts)
        if self.patience and not self.best:
            raise ValueError("patience needs `best`, the measure that is waited for.")


@dataclass(frozen=True)
class EvaluateSection:
    """`[[evaluate]]`: a measure on held-out data.

    Args:
        kind: `zero_shot`, which names pictures, or `retrieval`, which matches captions.
        source: what `keras_clip.data.open_pictures` takes, with labels or captions.
        name: what logs call it.
        columns: as in `[data]`.
        labels, templates: as of `keras_clip.evaluate.zero_shot`; None: those of the data.
        prompts: what `keras_clip.load_prompts` takes, instead of templates.
        batch_size: pictures a step.
    """

    kind: Literal["zero_shot", "retrieval"]
    source: str | tuple[str, ...]
    name: str | None = None
    columns: dict = field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    templates: str | tuple[str, ...] | None = None
    prompts: str | None = None
    batch_size: int = 64

    def __post_init__(self):
        if self.kind == "retrieval" and (self.labels or self.templates or self.prompts):
            raise ValueError("labels, templates and prompts are for kind = 'zero_shot'.")
        if self.name is None:
            object.__setattr__(self, "name", self.kind)
