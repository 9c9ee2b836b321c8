"""What `Evaluate` can measure: functions of a model that return {metric: float}."""

from keras_clip import evaluate
from keras_clip.evaluate.batches import opened
from keras_clip.models.clip import require_clip


def zero_shot(dataset, labels=None, templates=None, batch_size=32, clip=None):
    """Make a function that measures zero-shot classification: `top1`, `top5`, `mean_per_class`.

    Args:
        dataset: as of `keras_clip.evaluate.zero_shot`; it is read anew each time.
        labels: likewise.
        templates: likewise.
        batch_size: int. Pictures a step.
        clip: CLIP, where another model is trained that shares its towers; None: that model.
    """
    dataset = opened(dataset)

    def measure(model):
        clip_ = clip or require_clip(model, "The model that is trained")
        scores = evaluate.zero_shot(clip_, dataset, labels, templates, batch_size, progress=False)
        return {name: getattr(scores, name) for name in ("top1", "top5", "mean_per_class")}

    return measure


def retrieval(dataset, ks=(1, 5), batch_size=32, clip=None):
    """Make a function that measures how pictures find their captions, and captions pictures.

    Its metrics are `image_to_text@1`, `text_to_image@1` and so on, recalls from 0 to 1.

    Args:
        dataset: as of `keras_clip.evaluate.caption_retrieval`; it is read anew each time.
        ks: ints.
        batch_size: int. Pictures a step.
        clip: CLIP, where another model is trained that shares its towers; None: that model.
    """
    dataset = opened(dataset)

    def measure(model):
        clip_ = clip or require_clip(model, "The model that is trained")
        found, _ = evaluate.caption_retrieval(clip_, dataset, ks, batch_size, progress=False)
        return {
            f"{way}@{k}": value
            for way in ("image_to_text", "text_to_image")
            for k, value in getattr(found, way).items()
        }

    return measure
