"""Whatever is done to the bytes of a model, only a CheckpointError comes out, no wrong weight."""

import copy
import datetime
import json
import pathlib
import shutil

import numpy as np
import pytest
from guards import BYTES, SECONDS, peak_resident_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_mutated_files import EDITS, mutated

from keras_clip import CheckpointError, from_preset
from keras_clip.convert import open_checkpoint
from keras_clip.convert.table import read
from keras_clip.identification import identify
from keras_clip.models.weights import named_weights
from keras_clip.sources import find

FIXTURES = pathlib.Path(__file__).parent / "fixtures" / "parity"
# A model, and those of its files that are changed.
FILES = {
    "openai_clip.pt": ("openai_clip.pt",),
    "google_vit.npz": ("google_vit.npz",),
    "huggingface_clip": ("model.safetensors", "config.json", "preprocessor_config.json"),
    "huggingface_vit": ("config.json",),
    "open_clip_bias": ("open_clip_config.json",),
    "keras_hub_clip": ("model.weights.h5", "config.json", "image_converter.json"),
}
CASES = [(model, file) for model, files in FILES.items() for file in files]
# Archives keep a checksum of each member: what loads is what was written.
CHECKED = (".pt", ".npz")


class Slot:
    """Takes the place of a variable: what is assigned is kept."""

    def __init__(self, variable):
        self.shape, self.dtype, self.value = tuple(variable.shape), variable.dtype, None

    def assign(self, value):
        self.value = np.array(value)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """{name: (copy on disk, {weight: array})}."""
    found = {}
    for name in FILES:
        path = tmp_path_factory.mktemp("models") / name
        copy = shutil.copytree if (FIXTURES / name).is_dir() else shutil.copy
        copy(FIXTURES / name, path)
        weights = named_weights(from_preset(path))
        found[name] = path, {n: np.asarray(w.numpy()) for n, w in weights.items()}
    return found


def load(path, weights):
    """What `from_preset` does, without the time it takes to build a model."""
    slots = {name: Slot(value) for name, value in weights.items()}
    found = find(str(path))
    with open_checkpoint(found.file) as checkpoint:
        read(identify(checkpoint, found).table, checkpoint, slots)
    return {name: slot.value for name, slot in slots.items()}


def test_without_a_change_they_load(models):
    for path, weights in models.values():
        for name, values in load(path, weights).items():
            np.testing.assert_array_equal(values, weights[name])


@settings(
    max_examples=1500,
    derandomize=True,
    database=None,
    deadline=datetime.timedelta(seconds=SECONDS),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(case=st.sampled_from(CASES), edits=EDITS)
def test_mutated_models(models, case, edits):
    name, changed = case
    path, weights = models[name]
    file = path / changed if path.is_dir() else path
    original = file.read_bytes()
    resident = peak_resident_bytes()
    try:
        file.write_bytes(mutated(original, edits))
        found = load(path, weights)
        if file.suffix in CHECKED:
            for weight, values in weights.items():
                np.testing.assert_array_equal(found[weight], values)
    except CheckpointError as error:
        assert str(path) in str(error)
    finally:
        file.write_bytes(original)
    assert peak_resident_bytes() - resident < BYTES


WEIRD = (
    *(None, True, False, -1, 0, 1, 10**9, 10**30, 2.5, -5.5, float("nan"), float("inf")),
    *("x", "", "2", "relu", [], [1, 2], [None], ["a"], [[1]], {}, {"a": 1}, {"config": {}}),
)


def places(value, prefix=()):
    """The keys that lead to every value of a JSON file."""
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield (*prefix, key)
            yield from places(inner, (*prefix, key))


@settings(
    max_examples=1500,
    derandomize=True,
    database=None,
    deadline=datetime.timedelta(seconds=SECONDS),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    case=st.sampled_from([case for case in CASES if case[1].endswith(".json")]),
    place=st.integers(0, 2**16),
    value=st.sampled_from(WEIRD),
)
def test_configurations_with_other_values(models, case, place, value):
    path, weights = models[case[0]]
    file = path / case[1]
    original = file.read_text()
    content = json.loads(original)
    known = list(places(content))
    *way, last = known[place % len(known)]
    inside = content
    for key in way:
        inside = inside[key]
    inside[last] = copy.deepcopy(value)
    resident = peak_resident_bytes()
    try:
        file.write_text(json.dumps(content))
        load(path, weights)
    except CheckpointError as error:
        assert str(path) in str(error)
    finally:
        file.write_text(original)
    assert peak_resident_bytes() - resident < BYTES


def test_layers_without_end_are_refused_before_they_are_built(models, tmp_path):
    path, _ = models["huggingface_clip"]
    from_preset(path).save_to_preset(tmp_path / "preset")
    for folder, layers in ((path, "num_hidden_layers"), (tmp_path / "preset", "num_layers")):
        file = folder / "config.json"
        original = file.read_text()
        content = json.loads(original)
        towers = content.get("config", content)
        towers.get("text", towers.get("text_config"))[layers] = 10**6
        file.write_text(json.dumps(content))
        with pytest.raises(CheckpointError, match="1000000 layers, but there are only"):
            from_preset(folder)
        file.write_text(original)


def test_a_preset_names_no_class_outside_this_package(models, tmp_path):
    path, _ = models["huggingface_vit"]
    from_preset(path).save_to_preset(tmp_path / "preset")
    file = tmp_path / "preset" / "config.json"
    for family in ("os.system", "keras>Lambda", "vit.__class__", 5, ["vit"]):
        file.write_text(json.dumps({**json.loads(file.read_text()), "family": family}))
        with pytest.raises(CheckpointError):
            from_preset(tmp_path / "preset")
