"""Models by name, from the Hub, or from disk, with weights, tokenizer and picture settings."""

import functools
import logging
import os

from keras_clip.catalogue import zoo
from keras_clip.convert import open_checkpoint
from keras_clip.convert.table import Table
from keras_clip.filling import Plan
from keras_clip.identification import config_of, identify
from keras_clip.models.config_base import pair
from keras_clip.sources import find

_log = logging.getLogger("keras_clip")


def from_preset(
    source,
    load_weights=True,
    dtype=None,
    tokenizer=None,
    tower=None,
    config=None,
    family=None,
    ignore=(),
    **config_overrides,
):
    """Load a model: a CLIP or a ViT, a `keras.Model` on whichever backend Keras runs.

    Args:
        source: a name from `list_presets()`, `hf://org/repo[@revision][/file]`, an http(s) URL,
            or the path of a directory or file; its layout is found from its content. A name comes
            before a path of the same name, which is then written `./name`.
        load_weights: False: freshly initialised; for a name, nothing is fetched. A str: which of
            several sets of weights in a file of training is read, by its key or by what its names
            begin with, such as `state_dict`, `student` or `model.student`. True: of several, an
            average comes first (`state_dict_ema`, `model_ema`, `teacher`), as timm chooses, and a
            line in the log says so.
        dtype: dtype policy, such as `mixed_bfloat16` or `float16`; None: Keras's global one.
        tokenizer: CLIPTokenizer, or where its vocabulary is: path, `hf://org/repo/file` or URL.
            None: the vocabulary that comes with the weights.
        tower: `vision` or `text`: only this part of a CLIP is read and built, and of safetensors
            on the Hub only this part is fetched.
        config: what stands in the config.json or open_clip_config.json that belongs to a bare
            file: a dictionary, or the path of such a file. What tensors with OpenAI's names leave
            open may stand in it alone, as `{"quick_gelu": True}`.
        family: `clip`, `siglip`, `vit`, `deit` or `dinov2`: what a bare file holds, where its names
            leave that open.
        ignore: str or list of str, patterns such as `decoder.*`: tensors to leave out, which are no
            weights of the model; the log says how many, and one that the model needs is missing.
        **config_overrides: fields of the configuration. Another `image_size` than the pretrained
            one, int or (height, width) in pixels, resamples positions by the model's own rule; of a
            file that does not say its own size, it is that size where it fits exactly.
            Another `num_classes` than the stored one gives a ViT a new, freshly initialised head;
            0 drops it, and the output is the token sequence. `vision` and `text` of a CLIP take
            dictionaries of the fields to change.

    Raises:
        ValueError: the name or a field does not exist; CheckpointError, one of its kind: a file is
            damaged or does not fit its configuration; the message lists every tensor that differs.
        DownloadError: it cannot be fetched.
    """
    source = os.fspath(source)
    changes = (config_overrides.pop("image_size", None), config_overrides)
    entry = zoo().get(source)
    if entry and not load_weights and "config" in entry:
        config = config_of(entry["family"], entry["config"], source)
        plan = Plan(entry["family"], entry["table"], config, Table(()))
        return plan.change(*changes).only(tower).build(dtype, tokenizer, [])
    found = find(source, parts=tower is not None and load_weights)
    with open_checkpoint(found.file, _weights(load_weights)) as checkpoint:
        found = found.owned(checkpoint)
        plan = identify(checkpoint, found, config, family, ignore, _asked_size(*changes))
        plan = plan.change(*changes).only(tower)
        for note in plan.view.notes:
            _log.warning("%s: %s.", checkpoint.path, note)
        tensors = plan.view.tensors
        if found.partial:
            found.partial.complete([tensors[name] for name in plan.sources(tensors)])
        build = functools.partial(plan.build, dtype, tokenizer, found.tokenizers)
        return plan.freeze(plan.load(build, tensors) if load_weights else build())


def _asked_size(image_size, overrides):
    """The size of pictures that the user wants, (height, width), or None."""
    vision = overrides.get("vision")
    size = image_size or (vision.get("image_size") if isinstance(vision, dict) else None)
    return pair(size) if size else None


def _weights(load_weights):
    return load_weights if isinstance(load_weights, str) else None
