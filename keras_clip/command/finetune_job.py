"""One fine-tuning of the command line: its data, where it starts, how it is measured."""

from dataclasses import replace
from functools import cached_property

import numpy as np

from keras_clip import evaluate
from keras_clip import finetune as recipes
from keras_clip.command.column_arguments import columns
from keras_clip.data import open_pictures
from keras_clip.data.labels import numbers_among
from keras_clip.finetune.examples import examples
from keras_clip.models.batching import run_batch
from keras_clip.models.clip import CLIP, require_clip
from keras_clip.models.features import feature_model
from keras_clip.models.probe_head import linear_classifier
from keras_clip.models.prompts import TEMPLATE, Prompts
from keras_clip.preprocessing import Augmentation
from keras_clip.presets import from_preset

CONTRASTIVE, HEADS = ("flyp", "lit"), ("probe", "lp-ft")
_RANK = 8
_AUGMENTATION = Augmentation(scale=(0.5, 1.0), flip_rate=0.5)


class Job:
    """What is asked for, opened and checked before anything is computed.

    Args:
        options: what `keras_clip.command.finetune_arguments` parses.

    Raises:
        ValueError: the recipe does not go with the model, or the pictures do not fit.
    """

    def __init__(self, options):
        self.options, self.recipe = options, options.recipe
        named = columns(options)
        train = open_pictures(options.train, named)  # before minutes of loading
        test = open_pictures(options.test, named) if options.test else None
        self.others = open_pictures(options.elsewhere) if options.elsewhere else None
        self.prompts = _prompts(options, train)
        if test is not None and test.labels is not None:
            test = test.with_classes(train.class_names, "classes of the training", by_value=True)
        self.model = self._load()
        self.clip = self.model if isinstance(self.model, CLIP) else None
        if self.others is not None:
            require_clip(self.model, f"--elsewhere measures zero-shot answers; {options.preset}")
        self.processor, names = self.model.image_processor, train.class_names
        augmentation = _AUGMENTATION if options.augment else None
        self.train = examples(train, self.processor, names, augmentation)
        self.test = examples(test, self.processor, names)
        self.broken = {}

    def _load(self):
        """The model; a ViT with a fresh head where it is not put on by a probe."""
        preset = self.options.preset
        model = from_preset(preset)
        if self.recipe in CONTRASTIVE:
            return require_clip(model, preset)
        if isinstance(model, CLIP) or self.recipe in HEADS:
            return model
        names = list(self.prompts.names)
        return from_preset(preset, num_classes=len(names), labels=names)

    @property
    def rank(self):
        """Of adapters; None: there are none."""
        return self.options.rank or (_RANK if self.recipe == "lora" else None)

    @property
    def settings(self):
        """Keywords for `keras_clip.finetune`."""
        names = ("epochs", "batch_size", "learning_rate", "label_smoothing", "seed")
        return {name: getattr(self.options, name) for name in names}

    @cached_property
    def base(self):
        """What answers before fine-tuning, a classifier; None: the model has no answers yet."""
        return self.clip and self.clip.zero_shot_classifier(self.prompts)

    @cached_property
    def start(self):
        """What the recipe starts from, and WiSE-FT goes back to: a CLIP or a classifier."""
        if self.recipe in CONTRASTIVE:
            return self.clip
        if self.recipe not in HEADS:
            return self.base or self.model
        if self.options.dry_run:  # of the same size, and nothing is computed for it
            dim, classes = feature_model(self.model).output.shape[-1], len(self.prompts)
            return linear_classifier(self.model, np.zeros((dim, classes)), np.zeros(classes))
        names = self.prompts.names
        plain = replace(self.train, augmentation=None)  # the failures are the same dictionary
        return recipes.linear_probe(self.model, plain, class_names=names, seed=self.options.seed)

    def prepared(self):
        """A copy of the start in which what should train is free."""
        if self.recipe == "probe":
            return recipes.only_head(self.start)
        model = recipes.full(recipes.copied(self.start))
        if self.recipe == "lit":
            recipes.lit(model)
        if self.recipe == "partial":
            recipes.partial(model, self.options.blocks)
        return recipes.lora(model, self.rank) if self.rank else model

    def fit(self, model, callbacks):
        """Train what `prepared` gave."""
        common = {"callbacks": callbacks, "verbose": 0, **self.settings}
        if self.recipe in CONTRASTIVE:
            recipes.flyp(model, self.train, self.prompts, **common)
        else:
            recipes.tune(model, self.train, processor=self.processor, **common)

    @property
    def measures(self):
        """{name: function from a model to its accuracy}, of what was given to measure."""
        found = {} if self.test is None else {"task": self.task}
        return found if self.others is None else {**found, "elsewhere": self.elsewhere}

    def before(self):
        """{name: accuracy before fine-tuning, or None where there were no answers}."""
        base = self.clip if self.recipe in CONTRASTIVE else self.base
        return {name: base and measure(base) for name, measure in self.measures.items()}

    def task(self, model):
        """Accuracy of a classifier, or of a CLIP by the prompts, on the test pictures."""
        vectors = None
        if isinstance(model, CLIP):
            vectors = model.class_embeddings(self.prompts, use_cache=False).T
            model = model.get_layer("vision")
        right, count, size = 0, 0, self.options.batch_size
        for first in range(0, len(self.test), size):
            rows = np.arange(first, min(first + size, len(self.test)))
            pixels, rows = self.test.read(rows, [0])
            answers = run_batch(model, pixels, size)
            answers = answers if vectors is None else answers @ vectors
            right += int(np.sum(answers.argmax(axis=1) == self.test.labels[rows]))
            count += len(rows)
        return right / count

    def elsewhere(self, model):
        """Zero-shot accuracy of the image tower in a model on the other pictures."""
        found = evaluate.zero_shot(self.whole(model), self.others, progress=False)
        self.broken |= dict(found.failures)
        return found.top1

    def whole(self, model):
        """The CLIP with the image tower of a classifier; it is overwritten by the next."""
        return model if isinstance(model, CLIP) else recipes.adopt_tower(self._scratch, model)

    @cached_property
    def _scratch(self):
        return recipes.copied(self.clip)

    def classifier(self, model):
        """The classifier of a model that has been fine-tuned."""
        return model.zero_shot_classifier(self.prompts) if isinstance(model, CLIP) else model

    def failures(self):
        """List of [key, reason] of all pictures that could not be read."""
        sets = (self.train, self.test or self.train)
        return [
            list(one) for one in {**sets[0].failures, **sets[1].failures, **self.broken}.items()
        ]


def _prompts(options, train):
    names = options.labels or train.class_names
    if train.labels is None:
        raise ValueError(f"{options.train}: the pictures have no labels: one subfolder a class.")
    if not names:
        raise ValueError(f"{options.train}: its classes are numbers: give their names, --labels.")
    known = train.class_names
    if known is None:
        train.with_classes(names, "--labels")  # raises where a class has no name
    elif len(names) != len(known):
        raise ValueError(
            f"There are {len(names)} --labels for {len(known)} classes: {', '.join(known[:5])}..."
        )
    else:
        places = numbers_among(np.arange(len(known)), known, names, "--labels", by_order=True)
        names = [names[place] for place in places]
    return Prompts.from_labels(list(names), options.template or train.templates or TEMPLATE)
