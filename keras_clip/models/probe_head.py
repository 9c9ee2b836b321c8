"""A linear probe's weights as the head of a Keras classifier."""

from keras_clip.layers import Predictions
from keras_clip.layers.adaptable import Dense
from keras_clip.models.features import feature_model
from keras_clip.models.tower import make_tower


def linear_classifier(model, weights, bias, class_names=None, activation="softmax"):
    """Put a linear head on a model's features: a keras.Model, what `model` takes -> (B, K).

    Args:
        model: CLIP, its image tower, or a ViT; its layers are shared.
        weights: (D, K) array.
        bias: (K,) array.
        class_names: list of K str, or None.
        activation: `softmax`, `sigmoid`, or None for logits.

    Raises:
        ValueError: the model's features are not D wide, or there are not K names.
    """
    features = feature_model(model)
    dim, num_classes = weights.shape
    if features.output.shape[-1] != dim:
        raise ValueError(
            f"The head takes features {dim} wide, but those of {model.name!r} are "
            f"{features.output.shape[-1]} wide."
        )
    head = Dense(num_classes, name="head", dtype="float32")
    x = head(features.output)
    head.kernel.assign(weights)
    head.bias.assign(bias)
    x = Predictions(activation, class_names, name="predictions")(x)
    return make_tower(features.input, x, name="classifier")
