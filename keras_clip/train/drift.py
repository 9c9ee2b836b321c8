"""How far training moves a CLIP from what it could do before, on held-out pictures and prompts."""

import numpy as np

from keras_clip.data.labels import class_numbers
from keras_clip.models.batching import batches as cut
from keras_clip.models.batching import num_rows, run_batch, unit_rows
from keras_clip.models.clip import require_clip
from keras_clip.models.prompts import TEMPLATE
from keras_clip.models.zero_shot import probabilities
from keras_clip.train.steps import StepCallback, is_averaged, weights_of

LIMITED = ("changed", "divergence", "lost")


class ZeroShotDrift(StepCallback):
    """Report every n steps how a model's zero-shot answers differ from those before training.

    In the logs, and so for callbacks behind this one:

    - `drift/image_cosine`, `drift/text_cosine`: mean cosine of each vector and what it was;
    - `drift/changed`: share of the pictures whose first answer is another;
    - `drift/divergence`: mean Kullback-Leibler divergence of the answers from what they were, in
      nats, by a softmax over the labels for a sigmoid model too;
    - `drift/top1`, `drift/lost`: with truths, the share that is right and what it has lost.

    Args:
        pictures: raw pictures, as for `embed_images`; or (n, H, W, 3) float32, processed.
        labels: K classes, as for `clip.class_embeddings`: other ones than those of the task.
        truths: (n,) int, the right class of each picture, or None.
        templates: str or list of str with `{}`.
        every: int or None. Steps from one report to the next; None: at the end of each epoch alone.
        stop_above: {name: float} or None. The run ends when `changed`, `divergence` or `lost` is
            above.
        clip: CLIP, where another model is trained that shares its towers; None: that model.
        averaged: bool or None, as of `Evaluate`.

    Attributes:
        history: list of (step, {"drift/name": float}).

    Raises:
        ValueError: truths that do not fit, or an unknown limit.
    """

    def __init__(
        self, pictures, labels, truths=None, templates=TEMPLATE, every=None, stop_above=None,
        clip=None, averaged=None,
    ):  # fmt: skip
        super().__init__()
        self.pictures, self.labels, self.templates = pictures, labels, templates
        self.truths = _checked(truths, num_rows(pictures), len(labels))
        self.every, self.clip, self.averaged = every, clip, averaged
        self.stop_above = dict(stop_above or {})
        unknown = [name for name in self.stop_above if name not in LIMITED]
        if unknown or ("lost" in self.stop_above and truths is None):
            raise ValueError(
                f"stop_above takes {', '.join(LIMITED)}, the last with truths, not "
                f"{list(self.stop_above)}."
            )
        self.before, self.pixels, self.history = None, None, []

    def on_start(self, logs):
        if self.before is None:  # a second fit is still compared with the first beginning
            self.clip = self.clip or require_clip(self.model, "The model that is trained")
            self.pixels = _pixels(self.clip, self.pictures)
            with weights_of(self.model):
                self.before = self._now()

    def on_step(self, logs):
        if self.due(self.every):
            self._report(logs)

    def on_epoch_end(self, epoch, logs=None):
        self._report(logs)

    def _report(self, logs):
        if not self.history or self.history[-1][0] != self.step:
            with weights_of(self.model, is_averaged(self.model, self.averaged)):
                now = self._now()
            self.history.append((self.step, drift(self.before, now, self.truths)))
        found = self.history[-1][1]
        if any(found[f"drift/{name}"] > limit for name, limit in self.stop_above.items()):
            self.model.stop_training = True
        if logs is not None:
            logs.update(found)

    def _now(self):
        """(n, dim) and (K, dim) unit vectors, and (n, K) logits."""
        vision, size = self.clip.get_layer("vision"), min(32, num_rows(self.pixels))
        rows = [run_batch(vision, part, size) for part in cut(self.pixels, size)]
        images = unit_rows(np.concatenate(rows).astype("float32"))
        # The cache on disk is for weights that stay.
        texts = self.clip.class_embeddings(self.labels, self.templates, use_cache=False)
        return images, texts, self.clip.scale * images @ texts.T


def drift(before, now, truths=None):
    """Compare two times' vectors and logits: {"drift/name": float}, see `ZeroShotDrift`.

    Args:
        before: ((n, dim) image vectors, (K, dim) text vectors, (n, K) logits).
        now: the same, later.
        truths: (n,) int or None.
    """
    first, answers = before[2].argmax(axis=1), now[2].argmax(axis=1)
    old, new = (
        probabilities(logits.astype("float64"), "softmax") for logits in (before[2], now[2])
    )
    tiny = np.finfo("float64").tiny
    terms = old * (np.log(np.maximum(old, tiny)) - np.log(np.maximum(new, tiny)))
    found = {
        "image_cosine": np.mean(np.sum(before[0] * now[0], axis=1)),
        "text_cosine": np.mean(np.sum(before[1] * now[1], axis=1)),
        "changed": np.mean(first != answers),
        "divergence": np.mean(np.sum(terms, axis=1)),
    }
    if truths is not None:
        found["top1"] = np.mean(answers == truths)
        found["lost"] = np.mean(first == truths) - found["top1"]
    return {f"drift/{name}": float(value) for name, value in found.items()}


def _pixels(clip, pictures):
    """What the image tower takes."""
    if isinstance(pictures, dict) or getattr(pictures, "dtype", None) == np.float32:
        return pictures
    return clip.image_processor(list(pictures))


def _checked(truths, pictures, classes):
    """(n,) int64, or None."""
    if truths is None:
        return None
    truths = class_numbers(truths, "truths")
    if truths.shape != (pictures,) or truths.min() < 0 or truths.max() >= classes:
        raise ValueError(
            f"truths are one class a picture, {pictures} ints from 0 to {classes - 1}, not "
            f"{truths.shape} from {truths.min()} to {truths.max()}."
        )
    return truths
