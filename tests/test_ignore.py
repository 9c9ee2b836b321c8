"""What a file holds beside the model is left out where the user says so, and nothing else is."""

import json

import numpy as np
import pytest
from layout_files import MADE, arrays, assert_loads, load, model_of, saved

from keras_clip import CheckpointError, export_checkpoint, from_preset

pytest_plugins = ["torch_models", "command_line"]
FAMILY = {"family": "vit"}
EXTRA = {
    "decoder.0.weight": np.ones((2, 2), "float32"),
    "decoder.0.bias": np.ones(2, "float32"),
    "criterion.scale": np.ones(1, "float32"),
}


def masked_autoencoder(torch, vit):
    """The names of MAE's own files: timm's encoder, and a decoder that rebuilds pictures."""
    model = torch.nn.Module()
    for name, part in vit.named_children():
        model.add_module(name, part)
    for name, weight in vit.named_parameters(recurse=False):
        model.register_parameter(name, weight)
    del model.head, model.norm_pre, model.patch_drop, model.pos_drop, model.head_drop
    dim = 24
    model.mask_token = torch.nn.Parameter(torch.ones(1, 1, dim))
    model.decoder_pos_embed = torch.nn.Parameter(torch.ones(1, 5, dim))
    model.decoder_embed = torch.nn.Linear(192, dim)
    model.decoder_blocks = torch.nn.ModuleList([torch.nn.Linear(dim, dim) for _ in range(3)])
    model.decoder_norm = torch.nn.LayerNorm(dim)
    model.decoder_pred = torch.nn.Linear(dim, 768)
    return model


def without_head(vit):
    return {n: value for n, value in vit.state_dict().items() if not n.startswith("head.")}


@pytest.mark.parametrize("prefix", ["", "model.", "module.net."])
def test_the_encoder_of_a_masked_autoencoder(prefix, torch, vit, check):
    state = masked_autoencoder(torch, vit).state_dict()
    content = {"model": {prefix + n: value for n, value in state.items()}, "epoch": 3}
    plan = check(content, without_head(vit), ignore=["decoder_*", "mask_token"])
    (note,) = plan.view.notes
    count = sum(name.startswith(("decoder_", "mask_token")) for name in state)
    assert note.startswith(f"{count} left out, as ignore says: 'decoder_blocks.{{0..2}}.bias'")
    assert plan.view.prefix == prefix.removeprefix("module.")


@pytest.mark.parametrize("layout", MADE)
def test_every_layout(layout, tmp_path):
    tensors, files, weights = model_of(layout)
    lightning = {f"model.{name}": array for name, array in tensors.items()}
    for i, content in enumerate(({**tensors, **EXTRA}, {**lightning, **EXTRA})):
        path = saved(tmp_path / str(i), files, content, "safetensors")
        with pytest.raises(CheckpointError, match=r"(?s)decoder\..*ignore='pattern'"):
            load(path, weights)
        with pytest.raises(CheckpointError, match=r"(?s)criterion.*ignore='pattern'"):
            load(path, weights, ignore="decoder.*")
        plan = assert_loads(path, weights, ignore=("decoder.*", "criterion.*"))
        assert plan.view.notes[0].startswith("3 left out, as ignore says: 'criterion.scale'")


@pytest.mark.parametrize("prefix", ["", "model."])
@pytest.mark.parametrize("layout", MADE)
def test_what_the_model_needs_is_missing_when_left_out(layout, prefix, tmp_path):
    tensors, files, weights = model_of(layout)
    content = {prefix + name: array for name, array in tensors.items()}
    path = saved(tmp_path / "model", files, content, "safetensors")
    plan, _ = load(path, weights)
    for row in plan.table.rows[:: max(len(plan.table.rows) // 7, 1)]:
        with pytest.raises(
            CheckpointError, match="left out by ignore, but the model needs"
        ) as found:
            load(path, weights, ignore=row.source)
        assert f"- {row.source}: " in str(found.value)


def test_a_pattern_that_fits_nothing(torch, vit, tmp_path):
    torch.save(vit.state_dict(), tmp_path / "vit.pt")
    for ignore in ("decoder.*", ["patch_drop*"]):
        with pytest.raises(CheckpointError, match=r"ignore='.*\*' fits no tensor") as found:
            from_preset(tmp_path / "vit.pt", **FAMILY, ignore=ignore)
        assert str(tmp_path) in str(found.value) and "'blocks.*'" in str(found.value)
    export_checkpoint(from_preset(tmp_path / "vit.pt", **FAMILY), tmp_path / "own", "keras")
    with pytest.raises(CheckpointError, match="fits no tensor"):
        from_preset(tmp_path / "own", ignore="decoder.*")


def test_a_preset_of_this_package_too(torch, vit, tmp_path):
    from keras_clip.convert import open_checkpoint, write_safetensors

    torch.save(vit.state_dict(), tmp_path / "vit.pt")
    model = from_preset(tmp_path / "vit.pt", **FAMILY)
    model.save_to_preset(tmp_path / "own")
    with open_checkpoint(tmp_path / "own") as checkpoint:
        tensors = {name: tensor.read() for name, tensor in checkpoint.items()}
    write_safetensors(tmp_path / "own" / "model.safetensors", {**tensors, **EXTRA})
    with pytest.raises(CheckpointError, match=r"(?s)\+ decoder.*ignore='pattern'"):
        from_preset(tmp_path / "own")
    again = from_preset(tmp_path / "own", ignore=["decoder*", "criterion*"])
    assert again.count_params() == model.count_params()


ADAPTERS = {
    **{"lora_A.default.weight": (4, 192), "lora_B.default.weight": (576, 4)},
    "lora_magnitude_vector.default.weight": (576,),
}


def adapted(torch, vit, names=("attn.qkv",)):
    """As peft names a model with adapters in the attention."""
    state = {}
    for name, value in vit.state_dict().items():
        layer, _, kind = name.rpartition(".")
        if layer.endswith(names):
            state[f"base_model.model.{layer}.base_layer.{kind}"] = value
            more = {f"base_model.model.{layer}.{n}": torch.ones(s) for n, s in ADAPTERS.items()}
            state |= more if kind == "weight" else {}
        else:
            state[f"base_model.model.{name}"] = value
    return state


def test_adapters_of_peft(torch, vit, check, tmp_path):
    state = adapted(torch, vit)
    torch.save(state, tmp_path / "adapted.pt")
    with pytest.raises(CheckpointError, match=r"peft \(6: .*lora_A.*merge_and_unload\(\)") as found:
        from_preset(tmp_path / "adapted.pt", **FAMILY)
    assert str(tmp_path) in str(found.value)
    check(state, vit.state_dict(), ignore="*.lora_*")
    alone = {name: value for name, value in state.items() if ".lora_" in name}
    torch.save(alone, tmp_path / "alone.pt")
    with pytest.raises(CheckpointError, match=r"peft \(6: .*merge_and_unload\(\)"):
        from_preset(tmp_path / "alone.pt", **FAMILY)


def test_copies_that_peft_has_trained(torch, vit, tmp_path):
    state = {f"base_model.model.{n}": v for n, v in vit.state_dict().items() if "head" not in n}
    for place in ("original_module", "modules_to_save.default"):
        state[f"base_model.model.head.{place}.weight"] = torch.ones(5, 192)
    torch.save(state, tmp_path / "adapted.pt")
    with pytest.raises(CheckpointError, match=r"peft \(1: .*modules_to_save.*merge_and_unload"):
        from_preset(tmp_path / "adapted.pt", **FAMILY)


def test_parameters_that_fsdp_has_flattened(torch, vit, tmp_path):
    flat = {"_fsdp_wrapped_module._flat_param": torch.ones(100), "x": torch.ones(1)}
    torch.save(flat, tmp_path / "flat.pt")
    with pytest.raises(CheckpointError, match=r"FSDP has flattened.*FULL_STATE_DICT"):
        from_preset(tmp_path / "flat.pt", **FAMILY)


def test_errors_are_short_and_say_what_to_do(torch, vit, clip, tmp_path):
    path = tmp_path / "file.pt"
    pair = {f"model.{n}": v for n, v in clip.state_dict().items()}
    torch.save({**pair, "criterion.weight": torch.ones(3)}, path)
    with pytest.raises(CheckpointError) as unknown:
        from_preset(path)
    for text in (
        "'model.*'",
        "'criterion.weight'",
        "ignore='pattern'",
        "A prefix is cut where all",
    ):
        assert text in str(unknown.value)
    torch.save({f"model.net.{n}": torch.ones(2) for n in ("a", "b.c", "d")}, path)
    with pytest.raises(
        CheckpointError, match=r"without the prefix 'model\.net\.': 'a', 'b\.c', 'd'\."
    ):
        from_preset(path)
    deep = {f"more.{i}.{n}": torch.ones(2) for i in range(50) for n in "abcdefghijklmnopq"}
    torch.save({**vit.state_dict(), **deep}, path)
    with pytest.raises(CheckpointError) as extra:
        from_preset(path, **FAMILY)
    text = str(extra.value)
    assert "(850 wrong" in text and "+ more.{0..49}.a: " in text and "+ and 250 more" in text
    assert len(text.splitlines()) == 15 and "ignore='pattern'" in text
    torch.save({"blocks.0.attn.qkv.weight": torch.ones(2)}, path)
    with pytest.raises(CheckpointError):
        from_preset(path, **FAMILY)


def test_names_of_another_layout_than_the_configuration_says(tmp_path):
    tensors, files, weights = model_of("huggingface_clip")
    path = saved(tmp_path / "a", files, {f"odd_{n}": a for n, a in tensors.items()}, "npz")
    with pytest.raises(CheckpointError, match=r"of the layout huggingface_clip.*none as 'visual_"):
        load(path, weights)


@pytest.mark.parametrize("prefix", ["", "model.", "module.net."])
@pytest.mark.parametrize("layout", ["open_clip", "huggingface_clip"])
def test_a_tower_alone_keeps_its_own_prefix(layout, prefix, tmp_path):
    tensors, files, weights = model_of(layout)
    vision = {n: a for n, a in tensors.items() if n.startswith(("visual.", "vision_model."))}
    content = {prefix + name: array for name, array in vision.items()}
    path = saved(tmp_path / "tower", files, content, "safetensors")
    if layout == "huggingface_clip":  # whose projection lies beside the tower
        with pytest.raises(CheckpointError, match=r"1 wrong.*\n  - visual_projection"):
            from_preset(path, tower="vision")
        content[f"{prefix}visual_projection.weight"] = tensors["visual_projection.weight"]
        path = saved(tmp_path / "whole", files, content, "safetensors")
    found = arrays(from_preset(path, tower="vision"))
    for name, array in found.items():
        np.testing.assert_array_equal(array, weights[f"vision/{name}"])


def test_the_command_line(run, torch, vit, tmp_path):
    torch.save({"model": masked_autoencoder(torch, vit).state_dict()}, tmp_path / "mae.pth")
    reading = ("--family", "vit", "--ignore", "decoder_*", "--ignore", "mask_token")
    code, out, err = run("inspect", tmp_path / "mae.pth", *reading)
    assert code == 0 and "decoder_blocks.{0..2}.bias" in out and not err
    assert "unused" not in out and "layout" in out and "timm, family vit" in out
    code, out, err = run("inspect", tmp_path / "mae.pth", "--family", "vit")
    assert code == 0 and "unused" in out
    convert = ("convert", tmp_path / "mae.pth", tmp_path / "out", "--to", "timm", *reading)
    assert run(*convert)[0] == 0
    assert from_preset(tmp_path / "out").count_params()
    code, out, err = run("inspect", tmp_path / "mae.pth", *reading[2:], "--json")
    assert code == 0 and "give family" in json.loads(out)["why_not"]
    torch.save({f"net.{n}": v for n, v in vit.state_dict().items()}, tmp_path / "vit.pth")
    report = json.loads(run("inspect", tmp_path / "vit.pth", "--family", "vit", "--json")[1])
    assert report["prefix"] == "net." and not report["model"]["unused"] and not report["notes"]
    assert {tensor["name"] for tensor in report["tensors"]} == set(vit.state_dict())
    out = run("inspect", tmp_path / "vit.pth", "--family", "vit")[1]
    assert "without the prefix net." in out
    code, out, err = run(*convert[:-4])
    assert code == 1 and "decoder_embed.bias" in err and "ignore='pattern'" in err
