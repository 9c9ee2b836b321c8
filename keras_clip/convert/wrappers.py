"""Names of tensors without what wrappers of a model put there; the same for every kind of file."""

import math
import re

from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.folding import grouped, listed
from keras_clip.convert.tensors import Checkpoint
from keras_clip.convert.weight_sets import PAIRS, Choice

# Whole parts of names that torch.compile, FSDP of PyTorch and fairscale, activation checkpointing,
# Lightning's strategies and peft put before what they wrap; no model has parts of these names.
_WRAPPER = re.compile(
    r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_fpw_module|_checkpoint_wrapped_module|"
    r"_forward_module|base_layer)\.(?=.)"
)
# Before every name, by DistributedDataParallel and averages of a model.
_MODULE = "module."
# Numbers that averages of a model keep beside its weights.
COUNTERS = ("n_averaged", "steps", "step", "initted")
# Tensors that are no weights of one model until something is done: parts of their names.
_UNFINISHED = (
    (
        re.compile(r"(^|\.)(lora_|ia3_|hada_|lokr_|oft_|vera_|modules_to_save\.)"),
        "adapters of peft",
        "load them with peft and save what merge_and_unload() gives; ignore='*lora_*' reads the "
        "weights without them",
    ),
    (
        re.compile(r"(^|\.)_?flat_param"),
        "parameters that FSDP has flattened",
        "save a state dict of the type FULL_STATE_DICT",
    ),
)


def unwrapped(checkpoint: Checkpoint, choice: Choice) -> Checkpoint:
    """The checkpoint with the names that the model itself gave its tensors, as far as that is sure.

    What a prefix such as `model.` means depends on the layout; see `views`.

    Args:
        checkpoint: As a reader gives it.
        choice: Which of several sets of weights is read; its notes become the checkpoint's.

    Raises:
        CheckpointError: Two tensors get the same name, or there is no set of the name asked for.
    """
    names = {name: _WRAPPER.sub("", name) for name in checkpoint}
    names = _without_module(names, checkpoint)
    names = _without_module(_chosen(names, choice), checkpoint)
    try:
        choice.check(grouped(names.values()))
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from None
    found = checkpoint.renamed(names)
    found.notes = tuple(choice.notes)
    return found


def check_finished(names, path) -> None:
    """Raises CheckpointError where tensors of a model and of what changes it lie side by side."""
    for pattern, kind, advice in _UNFINISHED:
        found = [name for name in names if pattern.search(name)]
        if found:
            raise CheckpointError(
                f"{path}: among its tensors are {kind} ({len(found)}: {listed(found, 2)}); {advice}"
            )


def without_counters(names: dict[str, str], checkpoint: Checkpoint) -> dict[str, str]:
    """{name: new name} without the numbers that averages of a model keep beside it."""
    return {
        name: new
        for name, new in names.items()
        if new not in COUNTERS or math.prod(checkpoint[name].shape) != 1
    }


def _without_module(names: dict[str, str], checkpoint: Checkpoint) -> dict[str, str]:
    weights = without_counters(names, checkpoint)
    while weights and all(new.startswith(_MODULE) and new != _MODULE for new in weights.values()):
        names = weights = {name: new.removeprefix(_MODULE) for name, new in weights.items()}
    return names


def _chosen(names: dict[str, str], choice: Choice) -> dict[str, str]:
    """The names of one of several sets of weights that lie side by side."""
    starts = {name: new.partition(".")[0] for name, new in names.items() if "." in new}
    keys = list(dict.fromkeys(starts.values()))
    key = choice.match(keys)
    if key:
        kept = {n: names[n].removeprefix(f"{key}.") for n, start in starts.items() if start == key}
        beside = [new for name, new in names.items() if name not in kept]
        if beside:
            choice.notes.append(f"beside {key!r}, {grouped(beside)} is left out")
        return _chosen(kept, choice)
    for pair in PAIRS:
        if set(pair) <= set(keys):
            left = set(pair) - {choice.pick(list(pair))}
            return {name: new for name, new in names.items() if starts.get(name) not in left}
    return names
