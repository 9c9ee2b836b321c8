"""The layouts that checkpoints come in, and which one a checkpoint has."""

from keras_clip.convert import google_vit, huggingface_clip, huggingface_vit, openai
from keras_clip.convert.errors import CheckpointError

DIALECTS = {
    "huggingface_clip": huggingface_clip,
    "huggingface_vit": huggingface_vit,
    "openai": openai,
    "google": google_vit,
}


def find_dialect(checkpoint, config=None):
    """Return (name, dialect) of a checkpoint, by its own names and configuration.

    Args:
        checkpoint: mapping of tensor names, such as `open_checkpoint` returns.
        config: dictionary of the config.json beside it, or None.

    Raises:
        CheckpointError: no dialect knows it.
    """
    for name, dialect in DIALECTS.items():
        if dialect.matches(checkpoint, config):
            return name, dialect
    path = getattr(checkpoint, "path", "the checkpoint")
    kind = f"model_type {config['model_type']!r}" if config and "model_type" in config else None
    names = ", ".join(list(checkpoint)[:3]) or "nothing"
    raise CheckpointError(
        f"{path}: the layout is not known ({kind or 'no model_type in a config.json'}; it holds "
        f"{names}, ...). Known: {', '.join(DIALECTS)}. A file from a transformers directory needs "
        "its config.json: give the directory."
    )
