"""The model of a recipe: from a preset, or fresh from its fields."""

import sys
import tempfile
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import keras

from keras_clip.models.clip import CLIP, require_clip
from keras_clip.models.config import CLIPConfig, TextConfig, vision_config
from keras_clip.models.preset_tokenizer import pick_tokenizer

_BLOCKS = [f"block_{i}" for i in range(200)]


def build_clip(section, from_preset=None):
    """Build the CLIP of a recipe, its towers locked as the recipe says.

    Args:
        section: ModelSection.
        from_preset: `keras_clip.from_preset`, which models and tokenizers by name need.

    Raises:
        ValueError: the recipe names a preset and `from_preset` is None, what it names is no CLIP or
            has no tokenizer, or fields make no configuration.
    """
    build = _started if section.start else _fresh
    from_preset = from_preset or _no_presets
    with _remat_scope(section.remat), _vocabulary(section.tokenizer, from_preset) as place:
        clip = build(section, place, from_preset)
    length, rows = clip.config.text.context_length, clip.tokenizer.context_length
    if length != rows:
        raise ValueError(f"The tokenizer makes rows of {rows} tokens, the model takes {length}.")
    clip.get_layer("vision").trainable = not section.lock_image
    clip.get_layer("text").trainable = not section.lock_text
    return clip


def _no_presets(name, **_):
    raise ValueError(
        f"The recipe names the preset {name!r}: give from_preset=keras_clip.from_preset."
    )


def _remat_scope(remat):
    if not remat:
        return nullcontext()
    return keras.RematScope(mode="list_of_layers", layer_names=_BLOCKS)


@contextmanager
def _vocabulary(place, from_preset):
    """The place of a tokenizer; that of a preset's own, which is read again for other rows."""
    if not place or Path(place).is_absolute() or "://" in place:
        yield place
        return
    with tempfile.TemporaryDirectory() as folder:
        from_preset(place, tower="text").tokenizer.save(folder)
        yield folder


def _started(section, tokenizer, from_preset):
    changes = {**section.clip_fields, "vision": section.vision, "text": section.text}
    model = from_preset(
        section.start, load_weights=section.load_weights, dtype=section.dtype,
        tokenizer=tokenizer, **{name: value for name, value in changes.items() if value != {}},
    )  # fmt: skip
    return require_clip(model, section.start)


def _fresh(section, tokenizer, from_preset):
    if not tokenizer or "://" in tokenizer:
        raise ValueError(
            "A model without `start` needs [model] tokenizer, the path of a vocabulary or a "
            "preset whose own is taken."
        )
    vision = vision_config(section.vision)
    text = TextConfig.from_dict({"vocabulary_size": sys.maxsize, **section.text})
    tokenizer = pick_tokenizer(text, tokenizer, [], Path)
    if "vocabulary_size" not in section.text:
        text = replace(text, vocabulary_size=tokenizer.vocabulary_size)
    config = CLIPConfig(vision, text, **section.clip_fields)
    return CLIP(config, tokenizer, dtype=section.dtype)
