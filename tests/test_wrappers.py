"""Whatever wraps a model, and whatever file it is saved in, the same weights come out."""

import re

import numpy as np
import pytest
from layout_files import COMMITTED, KINDS, MADE, assert_loads, model_of, saved
from test_parity import REFERENCE

from keras_clip.convert.dialects import DIALECTS


def before(prefix):
    """Every name gets the prefix."""
    return lambda tensors: {prefix + name: array for name, array in tensors.items()}


def inside(wrapper):
    """Every block is wrapped, and the whole too."""

    def wrapped(tensors):
        deep = {re.sub(r"\.(\d+)\.", rf".\1.{wrapper}.", name): a for name, a in tensors.items()}
        return before(f"{wrapper}.")(deep)

    return wrapped


def averaged(tensors):
    """As torch.optim.swa_utils.AveragedModel keeps a model."""
    return {"n_averaged": np.array(7), **before("module.")(tensors)}


def numbers_as_lists(tensors):
    """As open_clip's `nonscalar_logit_scale`; lists of one, the other way round, as numbers."""
    other = {(): (1,), (1,): ()}
    return {name: a.reshape(other.get(a.shape, a.shape)) for name, a in tensors.items()}


WRAPPERS = {
    "nothing": before(""),
    "torch.compile": before("_orig_mod."),
    "DistributedDataParallel": before("module."),
    "compiled, then distributed": before("module._orig_mod."),
    "distributed, then compiled": before("_orig_mod.module."),
    "Lightning": before("model."),
    "Lightning, compiled": before("model._orig_mod."),
    "a wrapper": before("clip."),
    "wrappers of wrappers": before("net.backbone."),
    "peft, merged": before("base_model.model."),
    "AveragedModel": averaged,
    "AveragedModel in Lightning": lambda t: before("model.")(averaged(t)),
    "FSDP": inside("_fsdp_wrapped_module"),
    "FSDP, checkpointed": inside("_fsdp_wrapped_module._checkpoint_wrapped_module"),
    "compiled blocks": inside("_orig_mod"),
    "checkpointed blocks in Lightning": lambda t: before("model.")(
        inside("_checkpoint_wrapped_module")(t)
    ),
    "numbers as lists": numbers_as_lists,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", MADE)
def test_every_layout_in_every_file(layout, kind, tmp_path):
    assert_unwrapped(layout, WRAPPERS, kind, tmp_path)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_what_other_libraries_have_written(path, tmp_path):
    kind = "hdf5" if "keras" in path.name else "safetensors"
    assert_unwrapped(path, WRAPPERS, kind, tmp_path)


@pytest.mark.parametrize("name", REFERENCE)
def test_the_reference(name, reference, tmp_path):
    assert_unwrapped(reference / name, WRAPPERS, "safetensors", tmp_path)


def test_no_layout_is_left_out():
    assert {*MADE, "keras_hub"} == set(DIALECTS)
    assert len(MADE) * len(KINDS) * len(WRAPPERS) > 1500


def assert_unwrapped(source, wrappers, kind, folder):
    """A model comes out of a file as it does without a wrapper, in the same layout."""
    tensors, files, weights = model_of(source)
    layout = assert_loads(saved(folder / "plain", files, tensors, "safetensors"), weights).layout
    assert layout == source or source not in MADE
    for i, wrap in enumerate(wrappers.values()):
        path = saved(folder / str(i), files, wrap(tensors), kind)
        assert assert_loads(path, weights).layout == layout
