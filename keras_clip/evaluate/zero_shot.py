"""Zero-shot classification measured on a labelled data set."""

import time
from dataclasses import asdict, dataclass

import numpy as np

from keras_clip.data import Pictures
from keras_clip.evaluate import metrics
from keras_clip.evaluate.batches import labelled_batches, opened
from keras_clip.models.batching import run_batch, track, unit_rows
from keras_clip.models.prompts import TEMPLATE, Prompts
from keras_clip.models.zero_shot import probabilities


@dataclass(frozen=True)
class ZeroShotScores:
    """What zero-shot classification gets right.

    Args:
        top1: share of the pictures whose first answer is right, 0 to 1.
        top5: share with the right class among the first five answers.
        mean_per_class: mean over the classes of the share that is right.
        interval: (low, high), the 95 % bootstrap interval of top1.
        calibration_error: expected calibration error of the probabilities, 0 to 1.
        confusion: (K, K) int64, how often each class (row) was taken for each (column).
        class_names: K names.
        images: number of pictures.
        seconds_per_image: reading, decoding and computing, without the first batch, in which
            models are compiled; NaN where there is no other.
        failures: list of (key, reason), pictures that could not be read; they are not counted.
    """

    top1: float
    top5: float
    mean_per_class: float
    interval: tuple
    calibration_error: float
    confusion: np.ndarray
    class_names: tuple
    images: int
    seconds_per_image: float
    failures: list

    def to_dict(self):
        """Plain values, for JSON."""
        return {**asdict(self), "confusion": self.confusion.tolist()}


def zero_shot(clip, dataset, labels=None, templates=None, batch_size=32, progress=None):
    """Measure a CLIP's zero-shot classification as its paper does.

    Args:
        clip: CLIP with a tokenizer.
        dataset: what `keras_clip.data.open_pictures` takes, or has made; or a Keras, tf.data, grain
            or torch data set of batches, see `labelled_batches`.
        labels: as for `clip.class_embeddings`; None: the data set's class names. Where all of these
            are among the labels, they meet by name. Classes that are numbers count the labels from
            0. As many other labels stand for the classes in their order.
        templates: str or list of str with `{}`; None: the data set's own, else a photo of a {}.
        batch_size: int.
        progress: bool or None. None: a bar for long work on a terminal.

    Returns:
        ZeroShotScores.

    Raises:
        ValueError: no labels, labels that do not fit, or no picture that can be read.

    Reference: "Learning Transferable Visual Models" (arXiv 2103.00020), section 3.1.
    """
    dataset = opened(dataset)
    known = dataset.class_names if isinstance(dataset, Pictures) else None
    if labels is None and known is None:
        raise ValueError("The data set has no class names: give labels=[...].")
    templates = templates or getattr(dataset, "templates", None) or TEMPLATE
    published = labels is None  # names that a data set has twice stay as they are
    prompts = Prompts.from_labels(known if published else labels, templates, not published)
    if isinstance(dataset, Pictures) and dataset.labels is not None:
        dataset = dataset.with_classes(prompts.names, by_order=True)
    batches = labelled_batches(dataset, clip.image_processor, batch_size)
    total = -(-len(dataset) // batch_size) if isinstance(dataset, Pictures) else None
    answers = _Answers(clip, clip.class_embeddings(prompts))
    for batch in track(batches, "Classifying", progress, total):
        answers.add(batch, batch_size)
    return answers.scores(prompts.names)


class _Answers:
    """The first answer, the right one's place and the confidence of every picture so far."""

    def __init__(self, clip, vectors):
        self.vision, self.vectors = clip.get_layer("vision"), vectors
        self.scale, self.bias = clip.scale, clip.bias
        self.activation = "sigmoid" if clip.config.is_sigmoid else "softmax"
        self.parts, self.failures, self.times = [], [], []

    def add(self, batch, batch_size):
        """Classify a batch; its labels are rows of the class vectors."""
        labels = batch.labels
        self.failures += batch.errors
        if len(labels):
            outside = labels[(labels < 0) | (labels >= len(self.vectors))]
            if len(outside):
                raise ValueError(
                    f"The data set has class {outside[0]}, but there are {len(self.vectors)} "
                    "labels."
                )
            size = max(batch_size, len(labels))
            rows = unit_rows(run_batch(self.vision, batch.pixels, size).astype("float32"))
            logits = self.scale * rows @ self.vectors.T + self.bias
            confidence = probabilities(logits, self.activation).max(axis=1)
            places = metrics.ranks(logits, labels)
            self.parts.append((labels, logits.argmax(axis=1), places, confidence))
        self.times.append((time.perf_counter(), len(labels)))

    def scores(self, names):
        """ZeroShotScores of all batches."""
        if not self.parts:
            first = " The first, {}: {}".format(*self.failures[0]) if self.failures else ""
            raise ValueError(f"No picture of the data set can be read.{first}")
        labels, found, places, confidence = map(np.concatenate, zip(*self.parts, strict=True))
        confusion = metrics.confusion_matrix(labels, found, len(names))
        right = int(np.sum(places == 0))
        later = sum(count for _, count in self.times[1:])
        seconds = self.times[-1][0] - self.times[0][0]
        return ZeroShotScores(
            right / len(labels),
            float(np.mean(places < 5)),
            metrics.mean_per_class(confusion),
            metrics.bootstrap_interval(right, len(labels)),
            metrics.expected_calibration_error(confidence, places == 0),
            confusion,
            names,
            len(labels),
            seconds / later if later else float("nan"),
            self.failures,
        )
