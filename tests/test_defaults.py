"""What is assumed where a file is silent is what the file's own library assumes."""

import dataclasses
from types import SimpleNamespace

import pytest

from keras_clip.convert import openai_answers
from keras_clip.convert.defaults import huggingface, open_clip, pictures, timm
from keras_clip.convert.huggingface_images import INTERPOLATIONS, preprocessor_config
from keras_clip.convert.open_clip_config import CHOICES, FIXED, FREE


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", minversion="5")


@pytest.fixture(scope="module")
def library():
    """open_clip."""
    return pytest.importorskip("open_clip")


@pytest.mark.parametrize("name", huggingface.MODELS)
def test_models_of_transformers(transformers, name):
    theirs = getattr(transformers, name)()
    wrong = {
        field: (value, getattr(theirs, field))
        for field, value in huggingface.MODELS[name].items()
        if getattr(theirs, field) != value
    }
    assert not wrong and len(huggingface.MODELS[name]) > 0


@pytest.mark.parametrize("name", huggingface.PROCESSORS)
def test_processors_of_transformers(transformers, name):
    kind = getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)
    theirs, ours = kind(), dict(huggingface.PROCESSORS[name])
    # A class attribute of some, which decides what a single number means.
    assert getattr(kind, "default_to_square", True) is ours.pop("default_to_square", True)
    for field, value in ours.items():
        found = getattr(theirs, field)
        found = dict(found) if field in ("size", "crop_size") else found
        found = {k: v for k, v in found.items() if v} if isinstance(found, dict) else found
        assert (tuple(found) if isinstance(value, tuple) else found) == value, field
    absent = {"size", "crop_size", "do_center_crop"} - set(ours)
    assert not any(getattr(theirs, field, None) for field in absent)


def test_every_class_that_is_written_is_known(transformers):
    image = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bicubic"}
    for mode in ("shortest", "squash"):
        for share in (1.0, 0.9):
            more = {"resize_mode": mode, "crop_fraction": share}
            for kind in ("CLIPImageProcessor", "ViTImageProcessor", "SiglipImageProcessor"):
                config = {"image_size": (32, 32), "image": {**image, **more}}
                values = preprocessor_config(config, kind)
                assert values["image_processor_type"] in huggingface.PROCESSORS
    assert set(INTERPOLATIONS) == {2, 3}


@pytest.mark.parametrize(
    ("name", "ours"), [("CLIPVisionCfg", "VISION_CFG"), ("CLIPTextCfg", "TEXT_CFG")]
)
def test_towers_of_open_clip(library, name, ours):
    ours, others = getattr(open_clip, ours), set()
    for field in dataclasses.fields(getattr(library, name)):
        if field.name in ours:
            assert ours[field.name] == field.default, field.name
        elif field.name in FIXED:  # other values are refused
            fixed = FIXED[field.name]
            assert field.default in (fixed if isinstance(fixed, tuple) else (fixed,)), field.name
        else:
            others.add(field.name)
    assert others <= set(FREE)
    assert {ours["pool_type"]} <= set(CHOICES["pool_type"])


def test_pictures_and_scale_of_open_clip(library):
    theirs = {f.name: f.default for f in dataclasses.fields(library.transform.PreprocessCfg)}
    assert {n: theirs[n] for n in open_clip.PREPROCESS_CFG} == open_clip.PREPROCESS_CFG
    values = {name: pictures.CLIP[name] for name in open_clip.PREPROCESS_CFG}
    assert values == open_clip.PREPROCESS_CFG
    siglip = library.pretrained.get_pretrained_cfg("ViT-B-16-SigLIP", "webli")
    assert all(tuple(siglip[name]) == pictures.SIGLIP[name] for name in ("mean", "std"))
    for name in ("interpolation", "resize_mode"):
        assert siglip[name] == pictures.SIGLIP[name]
    sizes = {"layers": 1, "width": 64}
    text = {**sizes, "heads": 1, "vocab_size": 9, "context_length": 3}
    model = library.CLIP(4, {**sizes, "image_size": 16}, text)
    assert not any(open_clip.MODEL_CFG.values()) and model.logit_bias is None
    assert model.logit_scale.exp().item() == pytest.approx(open_clip.INITIAL_SCALE)


def own_towers(library):
    """Configurations of OpenCLIP's registry whose two towers are its own, and causal."""
    for name in library.list_models():
        config = library.get_model_config(name)
        vision, text = config["vision_cfg"], config["text_cfg"]
        others = (vision.get("timm_model_name"), text.get("hf_model_name"))
        if not any(others) and "multimodal_cfg" not in config and not vision.get("no_ln_pre"):
            yield name, config


def test_what_bare_files_leave_open_follows_from_sizes_or_is_asked(library):
    """Tensors with OpenAI's names: heads by their widths, the end of texts by the vocabulary."""
    counts, quick = {"same": 0, "asked": 0}, {}
    for name, config in own_towers(library):
        vision = {**open_clip.VISION_CFG, **config["vision_cfg"]}
        text = {**open_clip.TEXT_CFG, **config["text_cfg"]}
        kernel = "visual.conv1.weight"
        kernel = "visual.layer1.0.conv1.weight" if isinstance(vision["layers"], list) else kernel
        shapes = {
            kernel: (vision["width"], 3, 1, 1),
            "token_embedding.weight": (text["vocab_size"], text["width"]),
        }
        found = openai_answers.sizes({n: SimpleNamespace(shape=s) for n, s in shapes.items()})
        assert "quick_gelu" not in found
        assert found.get("head_width", vision["head_width"]) == vision["head_width"], name
        assert found.get("heads", text["heads"]) == text["heads"], name
        end = text["eos_id"] if text["pool_type"] == "eos" else None
        assert found.get("eos_id", end) == end, name
        counts["same" if len(found) == 3 else "asked"] += 1
        key = (*shapes.values(), str(vision["layers"]), vision["patch_size"], config["embed_dim"])
        quick.setdefault(key, set()).add(config.get("quick_gelu", False))
    assert counts["same"] > 40 and counts["asked"] >= 5
    # The same sizes with both activations: nothing but the question tells them apart.
    assert sum(len(kinds) == 2 for kinds in quick.values()) >= 8


def test_openais_own_rules_are_its_builders(library):
    """Every model of OpenAI has 64 wide heads and quick GELU, as the registry says of its tags."""
    names = [name for name, tag in library.list_pretrained() if tag == "openai"]
    assert len(names) >= 9
    for name in names:
        config = library.get_model_config(name)
        assert config["vision_cfg"].get("head_width", 64) == openai_answers.HEAD_WIDTH
        assert (
            config["text_cfg"]["width"] == openai_answers.HEAD_WIDTH * config["text_cfg"]["heads"]
        )
        cfg = library.pretrained.get_pretrained_cfg(name, "openai")
        assert cfg["quick_gelu"] is openai_answers.OFFICIAL["quick_gelu"]


def test_pictures_of_timm_where_its_files_are_silent():
    data = pytest.importorskip("timm.data")
    theirs = data.resolve_data_config(pretrained_cfg={"input_size": (3, 224, 224)})
    for field, value in timm.PICTURES.items():
        assert theirs[field] == value, field


def test_the_models_own_pictures_are_those_of_a_published_model():
    library = pytest.importorskip("timm")
    for name, ours in (
        ("deit_base_patch16_224", pictures.DEIT),
        ("vit_base_patch14_dinov2", pictures.DINOV2),
        ("vit_base_patch16_224", pictures.VIT),
        ("vit_base_patch16_siglip_224", pictures.SIGLIP),
        ("vit_base_patch16_clip_224", pictures.CLIP),
    ):
        theirs = library.get_pretrained_cfg(name)
        assert tuple(theirs.mean) == ours["mean"] and tuple(theirs.std) == ours["std"], name
