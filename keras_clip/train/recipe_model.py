"""The model of a recipe: from a preset, or fresh from its fields."""

import sys
import tempfile
from contextlib import nullcontext
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
    with _remat_scope(section.remat):
        clip = (_started if section.start else _fresh)(section, _loader(from_preset))
    _ = clip.tokenizer  # raises where there is none
    clip.get_layer("vision").trainable = not section.lock_image
    clip.get_layer("text").trainable = not section.lock_text
    return clip


def _loader(from_preset):
    def refuse(name, **_):
        raise ValueError(
            f"The recipe names the preset {name!r}: give from_preset=keras_clip.from_preset."
        )

    return from_preset or refuse


def _remat_scope(remat):
    if not remat:
        return nullcontext()
    return keras.RematScope(mode="list_of_layers", layer_names=_BLOCKS)


def _started(section, from_preset):
    changes = {**section.clip_fields}
    changes |= {name: getattr(section, name) for name in ("vision", "text")}
    changes = {name: value for name, value in changes.items() if value != {}}
    tokenizer = section.tokenizer
    if tokenizer and not _is_path(tokenizer):
        tokenizer = from_preset(tokenizer, tower="text").tokenizer
    model = from_preset(
        section.start, load_weights=section.load_weights, dtype=section.dtype,
        tokenizer=tokenizer, **changes,
    )  # fmt: skip
    return require_clip(model, section.start)


def _fresh(section, from_preset):
    vision = vision_config(section.vision)
    text = TextConfig.from_dict({"vocabulary_size": sys.maxsize, **section.text})
    tokenizer = _tokenizer(section.tokenizer, text, from_preset)
    if "vocabulary_size" not in section.text:
        text = replace(text, vocabulary_size=tokenizer.vocabulary_size)
    config = CLIPConfig(vision, text, **section.clip_fields)
    return CLIP(config, tokenizer, dtype=section.dtype)


def _tokenizer(place, text, from_preset):
    if not place:
        raise ValueError(
            "The recipe has no tokenizer: give [model] tokenizer, the path of a vocabulary or a "
            "preset whose own is taken."
        )
    if _is_path(place):
        return pick_tokenizer(text, place, [], Path)
    with tempfile.TemporaryDirectory() as folder:  # read again, for rows of this model's length
        from_preset(place, tower="text").tokenizer.save(folder)
        return pick_tokenizer(text, folder, [], Path)


def _is_path(place):
    return Path(place).is_absolute()
