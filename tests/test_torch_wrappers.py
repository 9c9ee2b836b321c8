"""What torch, timm and open_clip themselves save of a wrapped model is read as the model."""

import pytest

from keras_clip import CheckpointError, from_preset
from keras_clip.convert import open_checkpoint

pytest_plugins = ["torch_models"]
# Of torch about itself, when it compiles.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


@pytest.fixture
def group(torch):
    """A process group of this process alone, which DistributedDataParallel needs."""
    distributed = torch.distributed
    store = distributed.HashStore()
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def in_blocks(model, wrap):
    """The model with each block wrapped."""
    import copy

    wrapped = copy.deepcopy(model)
    towers = getattr(wrapped, "blocks", None) or wrapped.transformer.resblocks
    for i, block in enumerate(towers):
        towers[i] = wrap(block)
    return wrapped


@pytest.mark.parametrize("kind", ["vit", "clip"])
def test_wrappers_of_torch(kind, request, torch, check, group):
    model = request.getfixturevalue(kind)
    state, compiled = model.state_dict(), torch.compile(model)
    parallel = torch.nn.parallel.DistributedDataParallel
    averaged = torch.optim.swa_utils.AveragedModel(compiled)
    for wrapped in (
        compiled,
        parallel(model),
        parallel(compiled),
        torch.compile(parallel(model)),
        torch.nn.DataParallel(model),
        averaged,
        in_blocks(model, torch.compile),
        torch.nn.ModuleDict({"model": averaged}),
        torch.nn.ModuleDict({"clip": in_blocks(compiled, torch.compile)}),
    ):
        assert list(wrapped.state_dict()) != list(state)
        check(wrapped.state_dict(), state)
        check({"epoch": 1, "state_dict": wrapped.state_dict()}, state)


def test_names_of_checkpointed_blocks(torch, vit, check):
    wrapper = "torch.distributed.algorithms._checkpoint.checkpoint_wrapper"
    wrap = pytest.importorskip(wrapper).checkpoint_wrapper
    # Its state dict has no such names, but what goes over the parameters has.
    named = dict(in_blocks(vit, wrap).named_parameters())
    assert any("_checkpoint_wrapped_module" in name for name in named)
    check({name: weight.detach() for name, weight in named.items()}, vit.state_dict())


def test_a_training_checkpoint_of_open_clip(torch, clip, check, group):
    optimizer = torch.optim.AdamW(clip.parameters())
    sum(weight.sum() for weight in clip.parameters()).backward()
    optimizer.step()
    distributed = torch.nn.parallel.DistributedDataParallel(torch.compile(clip))
    content = {
        **{"epoch": 3, "name": "run", "scaler": {"scale": torch.ones(1)}},
        "state_dict": distributed.state_dict(), "optimizer": optimizer.state_dict(),
    }  # fmt: skip
    plan = check(content, clip.state_dict())
    assert (plan.layout, plan.view.notes) == ("openai", ())


def test_a_checkpoint_of_lightning(torch, clip, check):
    content = {
        **{"epoch": 1, "global_step": 10, "pytorch-lightning_version": "2.6.0"},
        "state_dict": {f"model.{name}": weight for name, weight in clip.state_dict().items()},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}}],
        **{"lr_schedulers": [{}], "hyper_parameters": {"width": 64}, "loops": {"fit_loop": {}}},
    }
    plan = check(content, clip.state_dict())
    assert (plan.view.prefix, plan.view.notes) == ("model.", ())


def test_numbers_as_lists_of_one(torch, check):
    kind = pytest.importorskip("open_clip.model").CLIP
    vision = {"layers": 1, "width": 64, "patch_size": 8, "image_size": 16}
    text = {"context_length": 6, "vocab_size": 40, "width": 64, "heads": 1, "layers": 1}
    state = kind(16, vision, text, nonscalar_logit_scale=True).state_dict()
    assert state["logit_scale"].shape == (1,)
    check(state, {**state, "logit_scale": state["logit_scale"][0]})


def teacher(torch, vit):
    """DINOv2's teacher: an encoder and two heads of self-distillation, one of older kind."""
    norm = torch.nn.utils.parametrizations.weight_norm
    mlp = torch.nn.Sequential(torch.nn.Linear(192, 8), torch.nn.GELU(), torch.nn.Linear(8, 8))
    last = norm(torch.nn.Linear(8, 16, bias=False))
    head = torch.nn.ModuleDict({"mlp": mlp, "last_layer": last})
    return torch.nn.ModuleDict({"backbone": vit, "dino_head": head, "ibot_head": head})


def test_the_teacher_of_dinov2(torch, vit, check):
    state = {"teacher": teacher(torch, vit).state_dict()}
    plan = check(state, vit.state_dict())
    assert plan.view.prefix == "backbone."
    (note,) = plan.view.notes
    assert "heads of self-distillation are left out" in note and "6 'dino_head.*'" in note


def test_dino_and_ibot_name_their_head_otherwise(torch, vit, check):
    whole = teacher(torch, vit)
    old = torch.nn.ModuleDict({"backbone": whole["backbone"], "head": whole["dino_head"]})
    content = {
        "student": torch.nn.DataParallel(old).state_dict(),
        "teacher": old.state_dict(),
        "dino_loss": {"center": torch.ones(3)},
        "optimizer": {"state": {}},
    }
    notes = check(content, vit.state_dict()).view.notes
    assert len(notes) == 2 and "teacher is read" in notes[0]


def test_a_classifier_beside_the_encoder_is_not_taken_for_such_a_head(torch, vit, tmp_path):
    classifier = torch.nn.ModuleDict({"backbone": vit, "head": torch.nn.Linear(192, 3)})
    torch.save(classifier.state_dict(), tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match=r"\d+ 'backbone\.\*', 2 'head\.\*'"):
        from_preset(tmp_path / "file.pt", family="vit")
    from_preset(tmp_path / "file.pt", family="vit", ignore="head.*")


def test_two_names_that_wrappers_made_of_one(torch, vit, tmp_path):
    name = "blocks.0.norm1.weight"
    state = {**vit.state_dict(), "blocks.0._orig_mod.norm1.weight": torch.ones(192)}
    torch.save(state, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match=rf"'{name}' and 'blocks\.0\._orig_mod") as caught:
        open_checkpoint(tmp_path / "file.pt")
    assert str(tmp_path) in str(caught.value)
