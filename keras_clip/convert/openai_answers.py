"""What tensors with OpenAI's names leave open: activation, heads, and what ends a text."""

from keras_clip.convert.defaults.open_clip import (
    HEAD_WIDTHS,
    RESNET_HEAD_WIDTHS,
    TEXT_HEAD_WIDTH,
    VOCABULARY_SIZE,
)
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.naming import shape_of

# Facts about the model that OpenAI's archives, and no other files, keep beside its weights.
MARKS = ("input_resolution", "context_length", "vocab_size")
# What OpenAI's own code builds.
HEAD_WIDTH = 64
OFFICIAL = {"quick_gelu": True, "head_width": HEAD_WIDTH, "eos_id": None}
# The least value of each answer.
_LEAST = {"quick_gelu": False, "head_width": 1, "heads": 1, "eos_id": 0}
_ADVICE = (
    "quick_gelu is True of OpenAI's models, of what was fine-tuned from them and of OpenCLIP's "
    "with 'quickgelu' in their names, False of its others; head_width is the image tower's, heads "
    "are the text tower's; eos_id is the token that ends a text, None for the highest id. Or give "
    "OpenCLIP's own file, which says all of it: config='open_clip_config.json'."
)


def answers(checkpoint, config=None):
    """Return {`quick_gelu`, `head_width`, `heads`, `eos_id`}, by OpenCLIP's names.

    OpenAI's archives leave nothing open. Of other files, sizes that published models have tell
    heads and the end of texts; the rest has to be said.

    Args:
        checkpoint: mapping of names to tensors.
        config: dictionary with answers, or None; other fields in it are of no influence.

    Raises:
        CheckpointError: a question is left open, or an answer is of no use.
    """
    path = getattr(checkpoint, "path", "the checkpoint")
    stated = {name: config[name] for name in _LEAST if name in (config or {})}
    for name, value in stated.items():
        good = type(value) is type(_LEAST[name]) and value >= _LEAST[name]
        if not good and (name, value) != ("eos_id", None):
            raise CheckpointError(f"{path}: {name} is {value!r}, which is of no use. {_ADVICE}")
    official = OFFICIAL if all(mark in checkpoint for mark in MARKS) else {}
    found = {**sizes(checkpoint), **official, **stated}
    missing = [name for name in _LEAST if name not in found]
    if missing:
        examples = {**dict.fromkeys(_LEAST, "N"), "quick_gelu": "True"}
        asked = ", ".join(f"{name!r}: {examples[name]}" for name in missing)
        raise CheckpointError(
            f"{path}: its tensors do not tell {', '.join(missing)}, without which the numbers are "
            f"others: say it, as config={{{asked}}}. {_ADVICE}"
        )
    return found


def sizes(checkpoint):
    """Return the answers that follow from the sizes."""
    found = {}
    resnet = "visual.layer1.0.conv1.weight" in checkpoint
    kernel = "visual.layer1.0.conv1.weight" if resnet else "visual.conv1.weight"
    width = shape_of(checkpoint, kernel, rank=4)[0]
    widths = RESNET_HEAD_WIDTHS if resnet else HEAD_WIDTHS
    if width in widths:
        found["head_width"] = widths[width]
    vocabulary, width = shape_of(checkpoint, "token_embedding.weight", rank=2)
    if width % TEXT_HEAD_WIDTH == 0:
        found["heads"] = width // TEXT_HEAD_WIDTH
    if vocabulary == VOCABULARY_SIZE:
        found["eos_id"] = None
    return found
