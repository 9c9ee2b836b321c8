"""`keras-clip inspect`: what it finds in every file there is, without reading one weight."""

import json
import math
import pathlib
import shutil

import numpy as np
import pytest

from keras_clip.command import inspect as command
from keras_clip.convert import LazyTensor, open_checkpoint, write_safetensors
from keras_clip.convert.errors import CheckpointError
from keras_clip.convert.folding import folded, ranges
from keras_clip.presets import from_preset

pytest_plugins = ["command_line"]
FIXTURES = pathlib.Path(__file__).parent / "fixtures"
BUNDLED = "clip_resnet_tiny_shapes"
PARITY = sorted(
    path.name for path in (FIXTURES / "parity").iterdir() if "expected" not in path.name
)
CONTAINERS = sorted(path.name for path in (FIXTURES / "checkpoints").iterdir())
# Sound files whose content does not fit a model; their weights are not looked at.
UNFIT = {"missing_key", "extra_key", "wrong_shape", "nan_weights", "bad_config"}


@pytest.fixture
def unread(monkeypatch):
    """Fails where a weight is read or a model built; a single number may be no weight."""
    read = LazyTensor.read

    def refuse(tensor, *arguments, **settings):
        if getattr(tensor, "shape", None) == ():
            return read(tensor, *arguments, **settings)
        raise AssertionError("inspect reads no weights")

    monkeypatch.setattr(LazyTensor, "read", refuse)
    monkeypatch.setattr("keras.Model.__init__", refuse)


def agrees(report, path):
    """Whether the report tells what is in the file."""
    with open_checkpoint(path) as checkpoint:
        shapes = {name: list(tensor.shape) for name, tensor in checkpoint.items()}
        assert {t["name"]: t["shape"] for t in report["tensors"]} == shapes
        assert report["format"] == checkpoint.format
        assert report["bytes"] == sum(tensor.nbytes for tensor in checkpoint.values())
    assert report["values"] == sum(math.prod(shape) for shape in shapes.values())
    assert report["bytes"] == sum(report["bytes_by_dtype"].values())
    return (report["model"] is None) == bool(report["why_not"])


def test_help_has_an_example(run):
    code, out, _ = run("inspect", "--help")
    assert code == 0 and "keras-clip inspect" in out.partition("examples:")[2]


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("name", PARITY)
def test_models_are_known(run, name):
    path = FIXTURES / "parity" / name
    code, out, err = run("inspect", path, "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert agrees(report, path)
    assert report["model"]["missing"] == report["model"]["unused"] == []
    assert report["family"] in ("clip", "vit") and report["dialect"] in out


@pytest.mark.parametrize("name", ["openai_clip.pt", "huggingface_vit", "open_clip_resnet"])
def test_the_plan_is_what_is_built(name):
    path = FIXTURES / "parity" / name
    model, planned = from_preset(path), command.inspect(path)["model"]
    assert planned["class"] == type(model).__name__
    assert planned["params"] == model.count_params()
    assert planned["config"] == model.config.to_dict()


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("name", CONTAINERS)
def test_files_without_a_model_say_why(run, name):
    path = FIXTURES / "checkpoints" / name
    code, out, err = run("inspect", path)
    assert (code, err) == (0, "") and "no model is known for it" in out
    assert agrees(command.inspect(path), path)


def test_presets_by_name_tell_their_tokenizer(run):
    report = json.loads(run("inspect", BUNDLED, "--json")[1])
    assert report["dialect"] == "keras" and report["model"]["class"] == "CLIP"
    assert report["model"]["tokenizer"]["class"] == "CLIPTokenizer"
    out = " ".join(run("inspect", BUNDLED)[1].split())
    for told in ("tokenizer CLIPTokenizer", "pictures size", "stage_blocks", "params"):
        assert told in out, told


def test_layers_are_folded_unless_all_are_asked_for(run, vit_preset):
    short, long = (run("inspect", vit_preset, *more)[1] for more in ((), ("--all",)))
    assert "block_{0,1}/attention/qkv/kernel" in short and "block_0/" not in short
    assert "block_0/attention/qkv/kernel" in long and "{0,1}" not in long
    assert len(long.splitlines()) > len(short.splitlines()) + 10


def test_folding_loses_nothing():
    shapes = [((4, 4), "float32"), ((4,), "float32"), ((4,), "float16")]
    names = [f"a.{i}.b_{j}.c" for i in range(12) for j in range(2)]
    tensors = [(name, *shapes[0]) for name in names]
    assert folded(tensors) == [("a.{0..11}.b_{0,1}.c", (4, 4), "float32", 24)]
    tensors[5] = ("a.2.b_1.c", *shapes[1])
    lines = folded(tensors)
    assert sum(count for *_, count in lines) == 24
    assert ("a.2.b_1.c", (4,), "float32", 1) in lines
    assert ("a.{0,1,3..11}.b_1.c", (4, 4), "float32", 11) in lines
    assert folded([("w.1", *shapes[1]), ("w.2", *shapes[2])])[0][0] == "w.1"
    assert folded([]) == [] and ranges(["1", "01", "9"]) == "01,1,9"
    unfoldable = [("conv1", (2,), "f"), ("conv2", (2,), "f"), ("2024.x", (2,), "f")]
    assert [line[0] for line in folded(unfoldable)] == ["conv1", "conv2", "2024.x"]


def test_text_of_a_file_cannot_steer_the_terminal(run, tmp_path):
    path = tmp_path / "w.safetensors"
    values = {"\x1b[2J[red]w[/red]\n": np.zeros((2, 3), "float16")}
    write_safetensors(path, values, {"note\x07": "x\x1b[31m" + "y" * 500})
    code, out, _ = run("inspect", path)
    assert code == 0 and "\x1b" not in out and "\x07" not in out
    assert r"\x1b[2J[red]w[/red]\n" in out and "note\\x07" in out and "y" * 100 not in out
    report = json.loads(run("inspect", path, "--json")[1])
    assert report["metadata"]["note\x07"].endswith("y" * 500)


def test_a_damaged_tokenizer_does_not_hide_the_weights(run, clip_preset, tmp_path):
    folder = shutil.copytree(clip_preset, tmp_path / "clip")
    (folder / "tokenizer.json").write_text("{}")
    report = json.loads(run("inspect", folder, "--json")[1])
    assert "tokenizer.json" in report["model"]["tokenizer"]["why_not"]
    assert "tokenizer.json" in "".join(run("inspect", folder)[1].split())


@pytest.mark.parametrize("source", ["clip_vit_base_patch32_opena", "./absent.pt", "hf://nothing"])
def test_what_is_not_there_is_one_line(run, source):
    code, out, err = run("inspect", source)
    assert (code, out) == (1, "") and err.count("\n") == 1


@pytest.mark.usefixtures("unread")
def test_every_file_of_the_reference(reference):
    suffixes = {".pt", ".npz", ".safetensors", ".bin", ".json"}
    places = [path for path in (reference / "unusual").rglob("*") if path.suffix in suffixes]
    places += [p.parent for p in reference.glob("*/*/*.json") if p.name.endswith("config.json")]
    places += (reference / "openai").glob("*.pt")
    places += (reference / "npz").glob("*.npz")
    seen = 0
    for path in {place for place in places if "broken" not in place.parts}:
        try:
            report = command.inspect(path)
        except CheckpointError:
            assert path.suffix == ".json" or "legacy" in path.parts  # of formats that are not read
            continue
        assert agrees(report, path), path
        seen += 1
    assert seen > 30


@pytest.mark.usefixtures("unread")
def test_broken_files_are_one_clear_line(run, reference):
    for item in json.loads((reference / "broken" / "manifest.json").read_text())["items"]:
        code, out, err = run("inspect", reference / "broken" / item["file"])
        if item["must"].startswith("raise") and item["file"] not in UNFIT:
            assert (code, out) == (1, ""), item["file"]
            assert err.count("\n") == 1 and err.startswith("keras-clip: error: ")
            assert any(word in err for word in item["error_should_mention"]), err
        else:
            assert (code, err) == (0, ""), err


def test_tensors_that_do_not_fit_are_named(reference):
    missing = command.inspect(reference / "broken" / "missing_key")["model"]
    unused = command.inspect(reference / "broken" / "extra_key")["model"]
    assert missing["missing"] == ["vision_model.encoder.layers.0.mlp.fc1.weight"]
    assert not missing["unused"]
    assert unused["unused"] and not unused["missing"]
