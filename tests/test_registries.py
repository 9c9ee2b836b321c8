"""Every model of OpenCLIP's and timm's registries is read as its library builds it, or refused.

Models are built without memory (torch's meta device): what is compared is configuration, names and
shapes. The numbers of each kind are compared elsewhere.
"""

import json
import math
from types import SimpleNamespace

import pytest

from keras_clip.convert import CheckpointError, timm_vit
from keras_clip.convert.defaults import timm as defaults
from keras_clip.convert.dialects import find_dialect
from keras_clip.models.config import CLIPConfig, ViTConfig

ACTIVATIONS = {"GELUTanh": "gelu_tanh", "QuickGELU": "quick_gelu", "SiLU": "swiglu"}
MODULES = ("vision_transformer", "deit")
# 27 patches of 14 pixels leave 6 of 384 over: the libraries cut them off, here pictures are scaled
# to what is covered.
REST = ("ViT-SO400M-14-SigLIP-384", "vit_so400m_patch14_siglip_384")
REST += ("vit_so400m_patch14_siglip_gap_384",)


@pytest.fixture(scope="module")
def open_clip():
    return pytest.importorskip("open_clip")


@pytest.fixture(scope="module")
def timm():
    return pytest.importorskip("timm")


def activation(module):
    name = type(module).__name__
    if name == "GELU":
        return "gelu_tanh" if getattr(module, "approximate", "none") == "tanh" else "gelu"
    return ACTIVATIONS[name]


def shapes(state, prefix=""):
    """A checkpoint of which only names and shapes matter."""
    return {prefix + n: SimpleNamespace(shape=tuple(v.shape)) for n, v in state.items()}


def shortened(config):
    """The same with one block a tower, where its number is not part of a name."""
    for values in (config["vision_cfg"], config["text_cfg"]):
        if isinstance(values.get("layers", 12), int):
            values["layers"] = 1
    return config


def towers(open_clip, config):
    """The towers of a model, the text tower only where OpenCLIP has it itself, and its tensors."""
    import torch

    build, quick = open_clip.model, config.get("quick_gelu", False)
    dim = config["embed_dim"]
    with torch.device("meta"):
        vision = build._build_vision_tower(dim, config["vision_cfg"], quick)
        if "hf_model_name" in config["text_cfg"]:
            return vision, None, shapes(vision.state_dict(), "visual.")
        text = build._build_text_tower(dim, config["text_cfg"], quick)
    state = shapes(vision.state_dict(), "visual.")
    prefix = "text." if config.get("custom_text") else ""
    state |= shapes({"logit_scale": torch.empty(())}) | shapes(text.state_dict(), prefix)
    if config.get("init_logit_bias") is not None:
        state |= shapes({"logit_bias": torch.empty(())})
    return vision, text, state


def assert_encoder(ours, blocks, name):
    """Compare heads, epsilon, activation and sizes with a transformer's blocks."""
    block = blocks[0]
    attention = getattr(block, "attn", None)
    assert ours.num_heads == attention.num_heads, name
    norm = getattr(block, "ln_1", None) or block.norm1
    act = block.mlp.gelu if hasattr(block, "ln_1") else block.mlp.act
    assert (ours.epsilon, ours.activation) == (norm.eps, activation(act)), name
    assert (ours.num_layers, ours.hidden_dim) == (len(blocks), norm.normalized_shape[0]), name


def assert_text(ours, text, name):
    assert_encoder(ours, text.transformer.resblocks, name)
    pools = {"highest_id": "argmax", "end_token": "eos", "last": "last"}
    assert pools[ours.pooling] == text.pool_type, name
    assert ours.pooling != "end_token" or ours.end_token_id == text.eos_id, name
    assert ours.causal == (text.attn_mask is not None), name
    assert (ours.context_length, ours.vocabulary_size) == (text.context_length, text.vocab_size)


def assert_image_tower(ours, vision, name):
    size = vision.image_size if isinstance(vision.image_size, tuple) else (vision.image_size,) * 2
    if hasattr(vision, "trunk"):
        assert_encoder(ours, vision.trunk.blocks, name)
    assert ours.image_size == ((378, 378) if name in REST else size), name
    if hasattr(vision, "trunk"):
        return
    if hasattr(vision, "layer1"):
        assert ours.num_heads == vision.attnpool.num_heads, name
        return
    assert_encoder(ours, vision.transformer.resblocks, name)
    pools = {"class_token": "tok", "mean": "avg"}
    assert pools[ours.pooling] == vision.pool_type, name
    assert (ours.final_norm == "pooled") == vision.final_ln_after_pool, name


def pictures(open_clip, name, tag):
    """How OpenCLIP treats pictures of a pretrained model."""
    cfg = open_clip.transform
    stated = open_clip.pretrained.get_pretrained_cfg(name, tag)
    return cfg.merge_preprocess_dict(cfg.PreprocessCfg(), stated)


@pytest.mark.filterwarnings("ignore:.*QuickGELU")
def test_models_of_open_clip(open_clip):
    tags, counts = {}, {"read": 0, "refused": 0, "pictures": 0}
    for name, tag in open_clip.list_pretrained():
        tags.setdefault(name, []).append(tag)
    for name in open_clip.list_models():
        config = shortened(open_clip.get_model_config(name))
        vision, text, state = towers(open_clip, config)
        for tag in [None, *tags.get(name, [])]:
            stated = pictures(open_clip, name, tag) if tag else {}
            described = json.loads(json.dumps({"model_cfg": config, "preprocess_cfg": stated}))
            try:
                _, dialect = find_dialect(state, described)
                values = dialect.config_from(state, described)
            except CheckpointError:
                counts["refused"] += tag is None
                break
            ours = CLIPConfig.from_dict(values)
            for field, value in stated.items():
                found = getattr(ours.vision.image, field, value)
                found = value if field in ("size", "mode", "fill_color") else found
                assert found == (tuple(value) if isinstance(value, list) else value), (name, tag)
                counts["pictures"] += 1
        else:
            rows = {row.source for row in dialect.table(ours.to_dict(), state).rows}
            assert {n for n in state if "num_batches" not in n} == rows, name
            assert_image_tower(ours.vision, vision, name)
            assert_text(ours.text, text, name)
            assert ours.initial_bias == config.get("init_logit_bias"), name
            counts["read"] += 1
    assert counts["read"] >= 70 and counts["refused"] >= 50, counts
    assert counts["pictures"] > 500, counts


def timm_models(timm):
    """Architectures of timm's modules that are read here, built with one block."""
    import torch

    for name in timm.list_models():
        if timm.models.model_entrypoint(name).__module__.rpartition(".")[2] in MODULES:
            with torch.device("meta"):
                yield name, timm.create_model(name, depth=1)


def assert_treatment(image, theirs, name):
    """Compare an ImageConfig with what timm makes of a `pretrained_cfg`."""
    assert image.mean == tuple(theirs["mean"]) and image.std == tuple(theirs["std"]), name
    modes = {"center": "shortest", "squash": "squash"}
    assert image.resize_mode == modes[theirs["crop_mode"]], name
    assert image.interpolation == theirs["interpolation"], name
    # timm's own line, without the allowance for rounding that is made here.
    scaled = tuple(math.floor(side / theirs["crop_pct"]) for side in image.size)
    assert image.scaled_size == scaled and image.size in (theirs["input_size"][1:], (378, 378))


def test_families_stand_for_models_of_timm(timm):
    """The number of heads, by the width alone, and all that the family's own model implies."""
    import torch

    usual = ("tiny_patch16_224", "small_patch16_224", "base_patch16_224", "large_patch16_224")
    usual += ("huge_patch14_224", "giant_patch14_dinov2")
    found = {}
    with torch.device("meta"):
        for name in usual:
            model = timm.create_model(f"vit_{name}", depth=1)
            found[model.embed_dim] = model.blocks[0].attn.num_heads
        assert found == defaults.USUAL_HEADS
        for family, name in defaults.FAMILIES.items():
            model = timm.create_model(name, depth=1)
            values = timm_vit.config_from(shapes(model.state_dict()), {"architecture": family})
            assert_vit(ViTConfig.from_dict(values), model, name)


def assert_vit(ours, model, name):
    block = model.blocks[0]
    assert (type(block).__name__, type(block.attn).__name__) == ("Block", "Attention"), name
    assert_encoder(ours, model.blocks, name)
    prefix = sum(getattr(model, n, None) is not None for n in ("cls_token", "dist_token"))
    registers = 0 if model.reg_token is None else model.reg_token.shape[1]
    assert (ours.num_prefix_tokens, ours.num_register_tokens) == (prefix, registers), name
    size = tuple(model.patch_embed.img_size)
    assert ours.image_size == ((378, 378) if name in REST else size), name
    assert ours.use_prefix_positions == (not prefix or not model.no_embed_class), name
    pools = {"class_token": "token", "mean": "avg", "attention": "map"}
    assert pools[ours.pooling] == model.global_pool, name
    norms = {"tokens": model.norm, "pooled": model.fc_norm}
    identity = {kind: type(norm).__name__ == "Identity" for kind, norm in norms.items()}
    assert ours.final_norm is None or not identity[ours.final_norm], name
    assert ours.num_classes == model.num_classes, name


@pytest.mark.filterwarnings("ignore:Overwriting")
def test_models_of_timm(timm):
    """By their names alone, and as their files say it."""
    counts = {"read": 0, "refused": 0, "tags": 0}
    tags = {}
    for tag in timm.list_pretrained():
        tags.setdefault(tag.partition(".")[0], []).append(tag)
    for name, model in timm_models(timm):
        state, bare = shapes(model.state_dict()), {"architecture": name}
        try:
            values = timm_vit.config_from(state, bare)
        except CheckpointError:
            counts["refused"] += 1
            with pytest.raises(CheckpointError):
                stated = json.loads(json.dumps(model.pretrained_cfg))
                timm_vit.config_from(state, {**bare, "pretrained_cfg": stated})
            continue
        ours = ViTConfig.from_dict(values)
        assert_vit(ours, model, name)
        assert_treatment(ours.image, timm.data.resolve_model_data_config(model), name)
        assert {row.source for row in timm_vit.table(values).rows} == set(state), name
        counts["read"] += 1
        for tag in tags.get(name, []):
            stated = timm.get_pretrained_cfg(tag).to_dict()
            config = json.loads(json.dumps({**bare, "pretrained_cfg": stated}))
            image = ViTConfig.from_dict(timm_vit.config_from(state, config)).image
            assert_treatment(image, timm.data.resolve_data_config(pretrained_cfg=stated), tag)
            counts["tags"] += 1
    assert counts["read"] > 130 and counts["refused"] > 30, counts
    assert counts["tags"] > 250, counts
