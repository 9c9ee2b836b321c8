"""A stored configuration with what the user wants to be different."""

from dataclasses import fields, is_dataclass, replace

from keras_clip.models.config import CLIPConfig


def changed(stored, image_size=None, overrides=None):
    """Return a configuration with other values.

    Args:
        stored: the configuration of a checkpoint.
        image_size: int or (height, width) in pixels, or None.
        overrides: {field: value}; a dictionary changes some fields of a configuration inside.
            Another `num_classes` than the stored one drops what belongs to the old head: its
            labels, the layer before it, and a second head.

    Raises:
        ValueError: a field does not exist or a value is out of range.
    """
    changes = dict(overrides or {})
    num_classes = changes.pop("num_classes", None)
    if isinstance(stored, CLIPConfig):
        if num_classes is not None:
            raise ValueError("num_classes is for a ViT; a CLIP gives clip.zero_shot_classifier().")
        if image_size is not None:
            changes["vision"] = {**changes.get("vision", {}), "image_size": image_size}
        return _replaced(stored, changes)
    if image_size is not None:
        changes["image_size"] = image_size
    if num_classes not in (None, getattr(stored, "num_classes", None)):
        dropped = {"labels": None, "pre_logits_dim": None, "use_distillation_head": False}
        changes = {**dropped, **changes, "num_classes": num_classes}
    return _replaced(stored, changes)


def _replaced(config, changes):
    known = {field.name for field in fields(config)}
    if "image_size" in changes and "grid_size" in known:
        raise ValueError(
            "A NaFlex model takes pictures of any size; how many patches it cuts them into is "
            "vision={'image': {'max_patches': 1024}}."
        )
    unknown = sorted(set(changes) - known)
    if unknown:
        raise ValueError(f"{type(config).__name__} has no {unknown}; its fields: {sorted(known)}.")
    nested = {
        name: _replaced(getattr(config, name), value)
        for name, value in changes.items()
        if isinstance(value, dict) and is_dataclass(getattr(config, name))
    }
    return replace(config, **{**changes, **nested})
