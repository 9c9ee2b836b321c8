"""FLYP: fine-tuned as it was pretrained, with the classes' sentences as captions."""

import numpy as np

from keras_clip.finetune.class_batches import ClassBatches, Prompted
from keras_clip.finetune.examples import examples
from keras_clip.finetune.freezing import freeze_batch_norms
from keras_clip.finetune.settings import Settings, check_trainable
from keras_clip.finetune.tuning import warn_of_failures
from keras_clip.models.clip import require_clip
from keras_clip.models.contrastive import ContrastiveLoss
from keras_clip.models.prompts import TEMPLATE, Prompts
from keras_clip.models.text_lengths import cut_texts


def flyp(clip, data, labels=None, templates=TEMPLATE, callbacks=None, verbose="auto", **settings):
    """Train a CLIP contrastively on pictures and sentences of their classes: its new classifier.

    Each picture comes with one of its class's sentences, drawn anew each epoch. Two pictures of a
    class in a batch are no negatives of each other.

    Args:
        clip: CLIP with a tokenizer; its weights change. `lit(clip)`, `lora(clip)` and
            `partial(clip)` say beforehand what trains, else everything does.
        data: what `keras_clip.data.open_pictures` takes, with labels; or (x, y): pixels
            (n, H, W, 3), normalised float or raw uint8, and class numbers (n,).
        labels: as for `clip.class_embeddings`, in the order of the class numbers; where the
            pictures have class names, they meet by them. None: the names of the pictures.
        templates: str or list of str with `{}`.
        callbacks: list of Keras callbacks, or None.
        verbose: as for Keras's `fit`.
        **settings: see `keras_clip.finetune.Settings`; a last batch that is not full is left out.

    Returns:
        keras.Model: pixels (B, H, W, 3) -> (B, K), the zero-shot classifier of the new weights.

    Raises:
        ValueError: no labels, others than the pictures', or fewer than two pictures a batch.

    Reference: "Finetune like you pretrain: Improved finetuning of zero-shot vision models"
    (arXiv 2212.00638), section 3.
    """
    settings = Settings(**settings)
    check_trainable(require_clip(clip, "The model"))
    if not settings.batch_norm:
        freeze_batch_norms(clip)
    prompts = None if labels is None else Prompts.from_labels(labels, templates)
    names = None if prompts is None else prompts.names
    found = examples(data, clip.image_processor, names, settings.augmentation)
    if found is None:
        raise ValueError("flyp takes pictures with labels, or arrays (x, y); no data set of Keras.")
    prompts = prompts or _prompts_of(found, templates)
    if found.labels.max() >= len(prompts):
        raise ValueError(f"Class {found.labels.max()} is not among the {len(prompts)} labels.")
    texts = [text for sentences in prompts.sentences for text in sentences]
    token_ids = cut_texts(clip.tokenizer(texts), clip.config.text)
    ends = np.cumsum([len(sentences) for sentences in prompts.sentences])
    form = Prompted(np.split(token_ids, ends[:-1]))
    size = min(settings.batch_size, len(found))
    batches = ClassBatches(found, size, settings.seed, True, form, drop_last=True)
    smoothing = settings.label_smoothing
    clip.compile(
        settings.make_optimizer(clip, len(batches) * settings.epochs),
        ContrastiveLoss(label_smoothing=smoothing) if smoothing else None,
        settings.chunk_size,
    )
    clip.fit(batches, epochs=settings.epochs, callbacks=callbacks, verbose=verbose)
    warn_of_failures(found, data)
    return clip.zero_shot_classifier(prompts)


def _prompts_of(found, templates):
    if found.class_names is None:
        raise ValueError("The data has no class names: give labels=[...].")
    return Prompts.from_labels(list(found.class_names), templates)
