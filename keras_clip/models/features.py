"""The features of a model: what its head or projection works on."""

from keras_clip.layers import TokenPooling
from keras_clip.models.tower import make_tower

HEADS = ("projection", "pre_logits", "head")  # what comes first stands first


def feature_model(model):
    """Cut a model before its head: what it takes -> (B, D), the pooled and normed features.

    Of a CLIP with a ViT this is before the projection to the shared space, as linear probes have
    it. A ResNet's attention pooling projects at once, and attention pooling without a projection
    (SigLIP, NaFlex) ends the model: there, the output is taken. A ViT without a head gets the
    pooling of its configuration.

    Args:
        model: CLIP, its image tower, a ViT, or a classifier on any of them.

    Returns:
        keras.Model, which shares the layers.

    Raises:
        ValueError: the model has none of these heads, and not one vector a picture.
    """
    names = {layer.name for layer in model.layers}
    if {"vision", "text"} <= names:
        model = model.get_layer("vision")
        names = {layer.name for layer in model.layers}
    head = next((name for name in HEADS if name in names), None)
    features = model.output if head is None else model.get_layer(head).input
    if head is None and not getattr(model.config, "is_pooled", True):
        config = model.config
        prefix = config.num_prefix_tokens + config.num_register_tokens
        features = TokenPooling(config.pooling, prefix, name="pooling")(features)
    if len(features.shape) != 2:
        raise ValueError(f"{model.name!r} gives {features.shape}: it has no features to cut out.")
    return make_tower(model.input, features, name="features")
