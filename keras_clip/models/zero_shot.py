"""A classifier made of nothing but the names of its classes."""

import keras
import numpy as np

from keras_clip.layers import Predictions, UnitNorm
from keras_clip.layers.adaptable import Dense
from keras_clip.models.class_cache import cached
from keras_clip.models.tower import make_tower


def class_embeddings(tokenizer, text, prompts, use_cache=True):
    """One unit vector a class: the mean of its unit prompt embeddings, renormalised.

    Args:
        tokenizer: list of str -> (n, T) int32.
        text: the text tower.
        prompts: Prompts of K classes.
        use_cache: bool. Whether vectors of many sentences are kept on disk, and taken from there.

    Returns:
        (K, dim) float32.

    Raises:
        ValueError: two classes have the same tokens, and `prompts` says that they are distinct.

    Reference: "Learning Transferable Visual Models" (arXiv 2103.00020), section 3.1.4.
    """
    counts = [len(sentences) for sentences in prompts.sentences]
    starts = np.cumsum([0, *counts[:-1]])
    token_ids = tokenizer([one for sentences in prompts.sentences for one in sentences])
    if prompts.distinct:
        _check_distinct(prompts.names, np.split(token_ids, starts[1:]))

    def embed():
        sums = np.add.reduceat(text.embed_token_ids(token_ids), starts)
        return sums / np.linalg.norm(sums, axis=-1, keepdims=True)

    return cached(text, token_ids, starts, embed) if use_cache else embed()


def _check_distinct(names, tokens):
    seen = {}
    for name, rows in zip(names, tokens, strict=True):
        other = seen.setdefault(rows.tobytes(), name)
        if other is not name:
            raise ValueError(
                f"The labels {other!r} and {name!r} are the same to the model: their sentences "
                "have the same tokens. Leave one out, or tell them apart."
            )


def probabilities(logits, activation):
    """NumPy's softmax or sigmoid, at any size of the logits: (n, K) -> the same.

    Args:
        logits: (n, K) array.
        activation: `softmax` or `sigmoid`.
    """
    if activation == "sigmoid":
        return np.exp(-np.logaddexp(0, -logits))
    return np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))


def label_probabilities(clip, images, vectors):
    """Probability of each class for each picture, by softmax or sigmoid as the model was trained.

    Args:
        clip: CLIP.
        images: (n, dim) unit vectors.
        vectors: (K, dim) class embeddings.

    Returns:
        (n, K) float32.
    """
    logits = np.float32(clip.scale) * images @ vectors.T + np.float32(clip.bias)
    return probabilities(logits, "sigmoid" if clip.config.is_sigmoid else "softmax")


def zero_shot_classifier(vision, vectors, class_names, scale, bias=0.0, activation="softmax"):
    """Build the Keras model: pixels (B, H, W, 3) -> (B, K).

    Args:
        vision: the image tower; it is shared, so fine-tuning the classifier moves it.
        vectors: (K, dim) unit vectors; they become the head's kernel.
        class_names: list of K str.
        scale: float. What the cosines are multiplied with.
        bias: float. What is added to them; where it is not 0, the head has a bias.
        activation: `softmax`, `sigmoid` or None for logits.
    """
    embeddings = UnitNorm(name="image_embeddings")(vision.output)
    bias = np.full(len(vectors), bias, "float32") if bias else None
    return _classifier(vision.input, embeddings, scale * vectors.T, bias, class_names, activation)


def extended(classifier, vectors, class_names):
    """Give a classifier more classes: a new one of K + M, which shares the image tower.

    The new classes get the scale and the bias that those it has got have on average.

    Args:
        classifier: what `zero_shot_classifier` made, fine-tuned or calibrated or neither.
        vectors: (M, dim) unit vectors.
        class_names: list of M str.

    Raises:
        ValueError: it is no such classifier, is quantised, or has a class of one of these names.
    """
    kernel, bias = head_weights(classifier)
    old = classifier.get_layer("predictions").class_names
    known = sorted(set(old) & set(class_names))
    if known:
        raise ValueError(f"The classifier has these labels already: {known}.")
    kernel = np.concatenate([kernel, np.linalg.norm(kernel, axis=0).mean() * vectors.T], axis=1)
    if bias is not None:
        bias = np.concatenate([bias, np.full(len(vectors), bias.mean(), "float32")])
    return _with_head(classifier, kernel, bias, [*old, *class_names])


def rescaled(classifier, temperature, bias):
    """Return a classifier with logits / temperature + bias, which shares the image tower.

    Args:
        classifier: what `zero_shot_classifier` made.
        temperature: float, above 0.
        bias: (K,) array.

    Raises:
        ValueError: it is no such classifier, or is quantised.
    """
    kernel, old = head_weights(classifier)
    bias = bias if old is None else bias + old / temperature
    names = classifier.get_layer("predictions").class_names
    return _with_head(classifier, kernel / temperature, bias, names)


def head_weights(classifier):
    """The head's (dim, K) kernel and (K,) bias or None, NumPy.

    Raises:
        ValueError: the model is no zero-shot classifier, or is quantised.
    """
    names = {layer.name for layer in classifier.layers}
    if not {"image_embeddings", "head", "predictions"} <= names:
        raise ValueError(f"{classifier.name!r} is not what zero_shot_classifier() makes.")
    head = classifier.get_layer("head")
    if head.quantization_mode is not None:
        raise ValueError("The classifier is quantised: change its head first, quantise it then.")
    bias = None if head.bias is None else keras.ops.convert_to_numpy(head.bias)
    return keras.ops.convert_to_numpy(head.kernel), bias


def _with_head(classifier, kernel, bias, class_names):
    """The same image tower with another head."""
    embeddings = classifier.get_layer("image_embeddings").output
    activation = classifier.get_layer("predictions").activation
    return _classifier(classifier.input, embeddings, kernel, bias, class_names, activation)


def _classifier(images, embeddings, kernel, bias, class_names, activation):
    head = Dense(kernel.shape[1], use_bias=bias is not None, name="head", dtype="float32")
    x = head(embeddings)
    head.kernel.assign(kernel)
    if bias is not None:
        head.bias.assign(bias)
    x = Predictions(activation, class_names, name="predictions")(x)
    return make_tower(images, x, name="zero_shot_classifier")
