"""A classifier made of nothing but the names of its classes."""

import keras
import numpy as np

from keras_clip.layers import UnitNorm
from keras_clip.models.tower import make_tower

TEMPLATE = "a photo of a {}."


def check_prompts(labels, templates):
    """Return (labels, templates) as lists of strings.

    Raises:
        ValueError: no labels, a repeated label, no templates, or one without `{}`.
    """
    if isinstance(labels, str) or not len(labels):
        raise ValueError(f"labels is a list of at least one class name, not {labels!r}.")
    labels = list(labels)
    for label in labels:
        if not isinstance(label, str):
            raise ValueError(f"A label is a string, not {label!r}.")
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise ValueError(f"These labels are given more than once: {repeated}.")
    templates = [templates] if isinstance(templates, str) else list(templates)
    if not templates:
        raise ValueError(f"templates is empty: give at least one, such as {TEMPLATE!r}.")
    for template in templates:
        if not isinstance(template, str) or "{}" not in template:
            raise ValueError(f"The template {template!r} has no {{}} where the label goes.")
    return labels, templates


def class_weights(embed_texts, labels, templates):
    """One unit vector a class: the mean of its unit prompt embeddings, renormalised.

    Args:
        embed_texts: list of str -> (n, dim) unit vectors.
        labels: list of str.
        templates: list of str with `{}`.

    Returns:
        (len(labels), dim) float32.

    Reference: "Learning Transferable Visual Models" (arXiv 2103.00020), section 3.1.4.
    """
    prompts = [template.replace("{}", label) for label in labels for template in templates]
    vectors = embed_texts(prompts).reshape(len(labels), len(templates), -1).mean(axis=1)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def zero_shot_classifier(vision, weights, scale, bias=0.0, activation="softmax"):
    """Build the Keras model: pixels (B, H, W, 3) -> (B, classes).

    Args:
        vision: the image tower; it is shared, so fine-tuning the classifier moves it.
        weights: (classes, dim) unit vectors; they become the head's kernel.
        scale: float. What the cosines are multiplied with.
        bias: float. What is added to them; where it is not 0, the head has a bias.
        activation: `softmax`, `sigmoid` or None for logits.
    """
    x = UnitNorm(name="image_embeddings")(vision.output)
    head = keras.layers.Dense(len(weights), use_bias=bool(bias), name="head", dtype="float32")
    x = head(x)
    head.kernel.assign(scale * weights.T)
    if bias:
        head.bias.assign(np.full(len(weights), bias, "float32"))
    x = keras.layers.Activation(activation or "linear", name="predictions", dtype="float32")(x)
    classifier = make_tower(vision.input, x, name="zero_shot_classifier")
    classifier(vision.input)  # Keras exports to ONNX only what has been called
    return classifier
