"""WiSE-FT: between the weights before and after fine-tuning, where both abilities are kept."""

from dataclasses import dataclass

import numpy as np

from keras_clip.finetune.copies import check_alike, copied, plain_weights
from keras_clip.models.batching import track

ALPHAS = tuple(round(0.1 * step, 1) for step in range(11))


@dataclass(frozen=True)
class Sweep:
    """Measures along the way from a zero-shot model to a fine-tuned one.

    Args:
        alphas: tuple of float, shares of the fine-tuned weights.
        scores: {name: tuple of float, one an alpha}.
        best: float, the alpha with the highest mean of all scores; of equal ones the smallest,
            which is nearest to the zero-shot model.
    """

    alphas: tuple
    scores: dict
    best: float

    def table(self):
        """Rows of (alpha, score, score, ...), in the order of `scores`."""
        return list(zip(self.alphas, *self.scores.values(), strict=True))

    def to_dict(self):
        """Plain values, for JSON."""
        scores = {name: list(values) for name, values in self.scores.items()}
        return {"alphas": list(self.alphas), "scores": scores, "best": self.best}


def interpolate(zero_shot, fine_tuned, alpha):
    """Make a model of (1 - alpha) * zero-shot + alpha * fine-tuned weights.

    Args:
        zero_shot: the model before fine-tuning: a CLIP, ViT, tower or classifier.
        fine_tuned: the same after it. Adapters of either are merged in the result.
        alpha: float, 0 (the zero-shot weights) to 1 (the fine-tuned). Other values extrapolate.

    Returns:
        A new keras.Model, not compiled; the weights are averaged in float64.

    Raises:
        ValueError: the two models differ in more than their weights.

    Reference: "Robust fine-tuning of zero-shot models" (arXiv 2109.01903), section 3.
    """
    check_alike(zero_shot, fine_tuned)
    model = copied(fine_tuned)
    _mix(model, plain_weights(zero_shot), plain_weights(fine_tuned), alpha)
    return model


def sweep(zero_shot, fine_tuned, evaluate, alphas=ALPHAS, progress=None):
    """Measure the models between two: which share of fine-tuning keeps most of both abilities.

    Args:
        zero_shot, fine_tuned: as for `interpolate`.
        evaluate: {name: function from a model to a score, such as an accuracy from 0 to 1}. The
            model is one and the same object each time, with other weights.
        alphas: sequence of float.
        progress: bool or None. None: a bar for long work on a terminal.

    Returns:
        Sweep; `keras_clip.plot.wise_ft` draws it.

    Raises:
        ValueError: as `interpolate`; nothing to evaluate, or no alphas.

    Reference: "Robust fine-tuning of zero-shot models" (arXiv 2109.01903), section 4.
    """
    alphas = tuple(float(alpha) for alpha in alphas)
    if not alphas or not evaluate:
        raise ValueError("A sweep needs at least one alpha and one function to evaluate.")
    check_alike(zero_shot, fine_tuned)
    model = copied(fine_tuned)
    ends = plain_weights(zero_shot), plain_weights(fine_tuned)
    scores = {name: [] for name in evaluate}
    for alpha in track(alphas, "Interpolating", progress):
        _mix(model, *ends, alpha)
        for name, function in evaluate.items():
            scores[name].append(float(function(model)))
    means = np.mean([scores[name] for name in evaluate], axis=0)
    best = min(range(len(alphas)), key=lambda place: (-means[place], alphas[place]))
    scores = {name: tuple(values) for name, values in scores.items()}
    return Sweep(alphas, scores, alphas[best])


def _mix(model, first, second, alpha):
    """Fill a model with a mixture of weights, which are functions that give arrays."""
    for weight, ours, theirs in zip(model.weights, first, second, strict=True):
        a, b = ours(), theirs()
        if a.dtype.kind in "iub":  # counters and seeds are no weights to average
            weight.assign(b)
            continue
        mixed = (1 - alpha) * a.astype("float64") + alpha * b.astype("float64")
        weight.assign(mixed.astype(a.dtype))
