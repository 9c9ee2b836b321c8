"""The layouts that checkpoints come in, and which one a checkpoint has."""

from keras_clip.convert import (
    big_vision,
    dinov2,
    google_vit,
    huggingface_clip,
    huggingface_clip_classifier,
    huggingface_deit,
    huggingface_dinov2,
    huggingface_siglip,
    huggingface_siglip2,
    huggingface_vit,
    keras_hub_clip,
    open_clip,
    open_clip_siglip,
    openai,
    timm_vit,
)
from keras_clip.convert.errors import UnknownLayoutError
from keras_clip.convert.folding import grouped

# Asked in this order: a layout that another one contains comes before it.
DIALECTS = {
    "open_clip": open_clip,
    "open_clip_siglip": open_clip_siglip,
    "huggingface_clip_classifier": huggingface_clip_classifier,
    "huggingface_clip": huggingface_clip,
    "huggingface_siglip": huggingface_siglip,
    "huggingface_siglip2": huggingface_siglip2,
    "huggingface_vit": huggingface_vit,
    "huggingface_deit": huggingface_deit,
    "huggingface_dinov2": huggingface_dinov2,
    "keras_hub": keras_hub_clip,
    "openai": openai,
    "google": google_vit,
    "dinov2": dinov2,
    "timm": timm_vit,
    "big_vision": big_vision,
}
# The families whose models each layout holds.
FAMILIES = {
    **dict.fromkeys(("open_clip", "huggingface_clip", "keras_hub", "openai"), ("clip",)),
    **dict.fromkeys(("open_clip_siglip", "big_vision"), ("siglip",)),
    **dict.fromkeys(("huggingface_siglip", "huggingface_siglip2"), ("siglip",)),
    **dict.fromkeys(("huggingface_clip_classifier", "huggingface_vit", "google"), ("vit",)),
    "huggingface_deit": ("deit",),
    **dict.fromkeys(("huggingface_dinov2", "dinov2"), ("dinov2",)),
    "timm": ("vit", "deit", "dinov2"),
}


def find_dialect(checkpoint, config=None, family=None):
    """Return (name, dialect) of a checkpoint, by its own names and configuration.

    Args:
        checkpoint: mapping of tensor names, such as `open_checkpoint` returns.
        config: dictionary of the config.json beside it, open_clip_config.json's fields included,
            or None.
        family: str or None. Only layouts that hold models of this family are asked.

    Raises:
        UnknownLayoutError: no dialect knows it.
    """
    for name, dialect in DIALECTS.items():
        if family in (None, *FAMILIES[name]) and dialect.matches(checkpoint, config):
            return name, dialect
    path = getattr(checkpoint, "path", "the checkpoint")
    kinds = ("model_type", "architecture", "registered_name")
    found = ", ".join(f"{kind} {config[kind]!r}" for kind in kinds if config and kind in config)
    wanted = "" if family is None else f" for family={family!r}"
    raise UnknownLayoutError(
        f"{path}: the layout is not known{wanted} ({found or 'no model_type in a config.json'}; it "
        f"holds {grouped(checkpoint)}). Known: {', '.join(DIALECTS)}. A file from a transformers "
        "directory needs its config.json: give the directory, or config=path."
    )
