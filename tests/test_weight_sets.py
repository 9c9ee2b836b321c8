"""Of several sets of weights in a file one is read, as timm chooses, and that is said."""

import contextlib
import copy
import itertools
import logging
import time

import numpy as np
import pytest
from guards import SECONDS
from layout_files import arrays, load

from keras_clip import CheckpointError, from_preset
from keras_clip.convert import open_checkpoint, write_npz, write_safetensors, write_torch_zip
from keras_clip.convert.weight_sets import PAIRS, SETS

pytest_plugins = ["torch_models", "command_line"]
FAMILY = {"family": "vit"}
TIMM = ("state_dict_ema", "model_ema", "state_dict", "model")


def other(torch, model):
    """The same model with other weights."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for weight in changed.parameters():
            weight.add_(torch.randn_like(weight))
    return changed


def values(path, weights=None):
    """{name: array} of a file, and what it says of its choice."""
    with open_checkpoint(path, weights) as checkpoint:
        return {name: lazy.read() for name, lazy in checkpoint.items()}, checkpoint.notes


def same(found, state):
    assert set(found) == set(state)
    return all(np.array_equal(found[name], value.numpy()) for name, value in state.items())


@pytest.fixture
def trained(torch, vit, tmp_path):
    """What timm's CheckpointSaver writes, with an average; (path, model, average)."""
    utils = pytest.importorskip("timm.utils")
    average = utils.ModelEmaV3(other(torch, vit))
    saver = utils.CheckpointSaver(
        vit, torch.optim.SGD(vit.parameters(), 0.1), model_ema=average, checkpoint_dir=str(tmp_path)
    )
    saver.save_checkpoint(1, 0.5)
    return tmp_path / "last.pth.tar", vit, average.module


def test_timms_average_is_read_as_timm_does(trained, caplog):
    timm = pytest.importorskip("timm")
    path, *models = trained
    images = np.random.default_rng(0).standard_normal((2, 32, 32, 3)).astype("float32")
    for use_ema, settings, model in zip(
        (True, False), ({}, {"load_weights": "state_dict"}), models[::-1], strict=True
    ):
        assert same(values(path, settings.get("load_weights"))[0], model.state_dict())
        theirs = timm.models.load_state_dict(str(path), use_ema=use_ema)
        assert same(values(path, settings.get("load_weights"))[0], theirs)
        caplog.clear()
        ours = from_preset(path, **FAMILY, **settings)
        assert_same_answers(ours, model, images)
        said = [r.getMessage() for r in caplog.records if r.name == "keras_clip"]
        assert len(said) == use_ema
        assert not said or all(text in said[0] for text in (str(path), *TIMM[::2], "is read"))


def assert_same_answers(ours, model, images):
    import torch

    with torch.no_grad():
        wanted = model.eval()(torch.from_numpy(images.transpose(0, 3, 1, 2))).softmax(-1).numpy()
    np.testing.assert_allclose(ours.predict(images, verbose=0), wanted, atol=1e-5)


def test_an_average_alone(torch, vit, check):
    check({"state_dict_ema": vit.state_dict(), "epoch": 3}, vit.state_dict())


@pytest.mark.parametrize("nothing", [None, {}, {"decay": 0.99}])
def test_an_average_that_was_not_kept(nothing, torch, vit, check):
    plan = check({"state_dict": vit.state_dict(), "state_dict_ema": nothing}, vit.state_dict())
    assert not plan.view.notes


def test_torchvisions_average(torch, vit, check, caplog):
    averaged = torch.optim.swa_utils.AveragedModel(vit)
    content = {"model": other(torch, vit).state_dict(), "model_ema": averaged.state_dict()}
    plan = check({**content, "epoch": 1, "args": None}, vit.state_dict())
    assert len(plan.view.notes) == 1


@pytest.mark.parametrize(("first", "second"), [*itertools.combinations(SETS, 2)])
def test_every_two_keys(first, second, torch, tmp_path):
    sets = {second: {"a.b": torch.ones(2), "c": torch.ones(1)}, first: {"a.b": torch.zeros(2)}}
    torch.save({**sets, "epoch": 1, "optimizer": {"state": sets[first]}}, tmp_path / "w.pt")
    found, notes = values(tmp_path / "w.pt")
    assert same(found, sets[first])
    assert len(notes) == 1 and f"{first}, {second}; {first} is read" in notes[0]
    assert f"load_weights={second!r}" in notes[0]
    for key in (first, second):
        found, notes = values(tmp_path / "w.pt", key)
        assert same(found, sets[key]) and not notes
    torch.save({second: sets[second]}, tmp_path / "w.pt")
    assert same(values(tmp_path / "w.pt")[0], sets[second]) and not values(tmp_path / "w.pt")[1]


def test_timms_order():
    timm = pytest.importorskip("timm")
    assert SETS[:4] == TIMM and timm.__version__


@pytest.mark.parametrize("keys", [k for n in (2, 3, 4) for k in itertools.combinations(TIMM, n)])
def test_timm_takes_the_same(keys, torch, tmp_path):
    timm = pytest.importorskip("timm")
    sets = {key: {"w": torch.full((2,), float(i))} for i, key in enumerate(keys)}
    torch.save(sets, tmp_path / "w.pt")
    found, _ = values(tmp_path / "w.pt")
    assert same(found, timm.models.load_state_dict(str(tmp_path / "w.pt")))


@pytest.mark.parametrize("write", [write_safetensors, write_torch_zip, write_npz])
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_sets_side_by_side_in_one_dictionary(first, second, write, tmp_path):
    tensors = {f"{second}.a.b": np.ones(2), f"{second}.c": np.ones(2), "step": np.array(3)}
    tensors |= {f"{first}.module.a.b": np.zeros(2), f"{first}.module.c": np.zeros(2)}
    path = tmp_path / "weights"
    write(path, tensors)
    found, notes = values(path)
    assert set(found) == {f"{first}.module.a.b", f"{first}.module.c", "step"}
    assert len(notes) == 1 and f"load_weights={second!r}" in notes[0]
    for key in (first, second):
        found, notes = values(path, key)
        assert set(found) == {"a.b", "c"} and found["c"][0] == (key == second)
        assert len(notes) == 1 and "is left out" in notes[0]


def test_keys_lead_into_dictionaries(torch, tmp_path):
    inner = {"student.a.b": torch.ones(2), "teacher.a.b": torch.zeros(2)}
    torch.save({"model": inner, "weird": {"deep": {"a.b": torch.ones(2) * 2}}}, tmp_path / "w.pt")
    wanted = {None: 0, "model": 0, "teacher": 0, "student": 1, "model.student": 1, "weird.deep": 2}
    for key, value in wanted.items():
        found, notes = values(tmp_path / "w.pt", key)
        assert [array[0] for array in found.values()] == [value], key
        assert key in ("weird.deep", "model") or any("'weird' is left out" in n for n in notes), key


@pytest.mark.parametrize("key", ["ema", "model.ema", "state", "a"])
def test_a_key_that_is_not_there(key, torch, tmp_path):
    torch.save({"model": {"a": torch.ones(2)}, "state_dict": {"b": torch.ones(2)}}, tmp_path / "w")
    with pytest.raises(CheckpointError, match=r"no set of weights.*it has .*model") as error:
        open_checkpoint(tmp_path / "w", key)
    assert str(tmp_path) in str(error.value)


def test_what_lies_beside_is_said(torch, vit, check):
    state = {"state_dict": vit.state_dict(), "projector": {"w": torch.ones(3)}}
    (note,) = check(state, vit.state_dict()).view.notes
    assert note == "beside 'state_dict', 'projector' is left out"


def test_a_teacher_beside_a_model_is_not_its_average(torch, vit, tmp_path):
    pair = torch.nn.ModuleDict({"model": vit, "teacher": other(torch, vit)})
    torch.save({"state_dict": pair.state_dict()}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"'model\.\*', \d+ 'teacher\.\*'"):
        from_preset(tmp_path / "w.pt", **FAMILY)
    weights = arrays(from_preset(tmp_path / "w.pt", **FAMILY, load_weights="model"))
    _, found = load(tmp_path / "w.pt", weights, **FAMILY, weights="model")
    assert all(np.array_equal(found[name], array) for name, array in weights.items())
    assert np.array_equal(weights["norm/gamma"], vit.state_dict()["norm.weight"].numpy())


def test_the_command_line(run, trained, tmp_path, caplog):
    path, model, _ = trained
    code, out, err = run("inspect", path, "--family", "vit")
    assert code == 0 and "state_dict_ema is read" in " ".join(out.split()) and not err
    code, out, err = run("inspect", path, "--family", "vit", "--weights", "state_dict", "--json")
    assert code == 0 and '"notes": []' in out
    command = ("convert", path, tmp_path / "out", "--to", "timm", "--family", "vit")
    with caplog.at_level(logging.WARNING, logger="keras_clip"):
        assert run(*command)[0] == 0
        assert "state_dict_ema is read" in caplog.text
        assert run(*command, "--weights", "state_dict")[0] == 0
    assert same(values(tmp_path / "out")[0], model.state_dict())
    code, _, err = run(*command, "--weights", "student")
    assert code == 1 and "no set of weights 'student'" in err


@pytest.mark.parametrize("size", [500, 50_000])
def test_levels_without_end_take_no_time(size, torch, tmp_path):
    nothing, level = dict.fromkeys(range(size), 0), {"a": torch.ones(1)}
    for _ in range(25):
        level = {"b": torch.ones(1), **dict.fromkeys(SETS[1:], nothing), SETS[0]: level}
    torch.save(level, tmp_path / "w.pt")
    start = time.process_time()
    with contextlib.suppress(CheckpointError) if size > 1000 else contextlib.nullcontext():
        assert set(values(tmp_path / "w.pt")[0]) == {"a"}
    assert time.process_time() - start < SECONDS
