"""The parts of a run as its recipe says: pairs, optimizer and loss, evaluations."""

import math

from keras_clip.data import open_pictures
from keras_clip.models.clip import require_clip
from keras_clip.models.contrastive import ContrastiveLoss
from keras_clip.models.text_lengths import check_length
from keras_clip.train import measures
from keras_clip.train.optimizer import adamw
from keras_clip.train.pairs import Pairs


def open_source(section):
    """The Pictures of `[data]` or of an `[[evaluate]]`."""
    source = section.source if isinstance(section.source, str) else list(section.source)
    return open_pictures(source, section.columns or None)


def make_pairs(recipe, clip, pictures, hosts=(0, 1)):
    """The Pairs of a recipe.

    Args:
        recipe: Recipe.
        clip: CLIP.
        pictures: Pictures, as `open_source` gives them.
        hosts: (index, count) of this process among those that train together.
    """
    data = recipe.data
    return Pairs(
        pictures, clip, data.batch_size, data.augmentation, recipe.run.seed, data.shuffle,
        captions=data.captions, groups=data.groups, hosts=hosts, threads=data.threads,
        workers=data.workers, max_broken=data.max_broken, context_length=data.context_length,
    )  # fmt: skip


def num_steps(recipe, pairs):
    """Steps of the whole run."""
    run = recipe.run
    return run.steps or max(1, round(run.epochs * len(pairs)))


def compile_clip(clip, recipe, steps, from_preset=None):
    """Give a CLIP the optimizer and loss of a recipe.

    Args:
        clip: CLIP, its towers locked as they will be.
        recipe: Recipe.
        steps: int. Of the whole run, which the schedule spans.
        from_preset: `keras_clip.from_preset`, which a teacher needs.
    """
    given = recipe.optimizer
    optimizer = adamw(
        clip, given.learning_rate, steps, given.warmup_steps, given.weight_decay,
        given.layer_decay, None if math.isinf(given.clip_norm) else given.clip_norm,
        given.ema_momentum, beta_1=given.beta_1, beta_2=given.beta_2, epsilon=given.epsilon,
    )  # fmt: skip
    clip.compile(optimizer, _loss(recipe, from_preset), chunk_size=recipe.data.chunk_size)


def _loss(recipe, from_preset):
    section, teacher = recipe.loss, {}
    if section.teacher:
        if from_preset is None:
            raise ValueError("The recipe names a teacher: give from_preset=keras_clip.from_preset.")
        clip = require_clip(from_preset(section.teacher), section.teacher)
        check_length(recipe.data.context_length, clip.config.text)
        teacher = {"teacher": clip, "distillation_weight": section.distillation_weight}
    return ContrastiveLoss(
        label_smoothing=section.label_smoothing, match_duplicates=section.match_duplicates,
        **teacher,
    )  # fmt: skip


def evaluations(recipe, load_prompts=None):
    """What a run is measured by: {name: function of the model that returns {metric: float}}.

    Args:
        recipe: Recipe.
        load_prompts: `keras_clip.load_prompts`, which sets of prompts need.

    Raises:
        ValueError: pictures without labels or captions, or a set of prompts cannot be had.
    """
    return {section.name: _measure(section, load_prompts) for section in recipe.evaluate}


def _measure(section, load_prompts):
    pictures = open_source(section)
    if section.kind == "retrieval":
        return measures.retrieval(pictures, batch_size=section.batch_size)
    labels, templates = section.labels and list(section.labels), section.templates
    if section.prompts:
        if load_prompts is None:
            raise ValueError("The recipe names prompts: give load_prompts=keras_clip.load_prompts.")
        found = load_prompts(section.prompts)
        labels = labels or found.labels or pictures.class_names
        templates = templates or found.templates
    templates = templates if isinstance(templates, str) else templates and list(templates)
    return measures.zero_shot(pictures, labels, templates, section.batch_size)
