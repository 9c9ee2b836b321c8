"""The preset tables: every entry builds, has the weights it says, and names known sources."""

import functools
import math
import re

import keras
import pytest

from keras_clip import ImageConfig, catalogue, list_presets, preset_info, presets

KEYS = {"name", "family", "table", "source", "license", "params", "config", "metrics"}
OPTIONAL = {"tokenizer", "sha256"}
NAMES = list_presets()

# Counted in the official files.
OFFICIAL = {
    "clip_vit_base_patch32_openai": 151_277_313,
    "clip_vit_base_patch16_openai": 149_620_737,
    "clip_vit_large_patch14_openai": 427_616_513,
    "clip_vit_large_patch14_336_openai": 427_944_193,
}
# Millions, as OpenCLIP lists them.
LISTED = {
    "clip_vit_base_patch32_laion2b_s34b_b79k": 151.3,
    "clip_vit_base_patch16_laion2b_s34b_b88k": 149.6,
    "clip_vit_large_patch14_laion2b_s32b_b82k": 427.6,
    "clip_vit_huge_patch14_laion2b_s32b_b79k": 986.1,
    "clip_vit_giant_patch14_laion2b_s34b_b88k": 1366.7,
    "clip_vit_gigantic_patch14_laion2b_s39b_b160k": 2539.6,
}


def config(name):
    """The configuration of a preset, built from its table."""
    info = preset_info(name)
    return presets.FAMILIES[info["family"]][0](info["config"])


@functools.cache  # many presets differ in their pictures alone
def count(family, built):
    """Weights of a model that is built without any memory for them."""
    with keras.StatelessScope(initialize_variables=False):
        model = presets.FAMILIES[family][1](built)
    weights = sum(math.prod(weight.shape) for weight in model.weights)
    # Keras would give them their memory at the next occasion, unless it forgets them.
    keras.utils.clear_session(free_memory=False)
    return weights


def plain(built):
    """The configuration without what no weight depends on."""
    vision = getattr(built, "vision", built)
    vision = vision.replace(image=ImageConfig(), activation="gelu", epsilon=1e-6)
    vision = vision.replace(position_resize="bicubic")
    return built.replace(vision=vision) if hasattr(built, "vision") else vision


def with_layers(built, vision, text=1):
    """The configuration with fewer blocks; the weights grow by as much with each of them."""
    if hasattr(built, "text"):
        towers = {"vision": built.vision.replace(num_layers=vision)}
        return built.replace(**towers, text=built.text.replace(num_layers=text))
    return built.replace(num_layers=vision)


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_is_complete(name):
    info = preset_info(name)
    assert set(info) >= KEYS
    assert not set(info) - KEYS - OPTIONAL
    assert info["name"] == name
    assert re.fullmatch(r"(clip|vit)(_[a-z0-9]+)+", name)
    assert name.startswith(info["family"] + "_")
    assert info["table"] in {*presets.TABLES, "keras"}
    assert re.match(r"hf://[\w.-]+/[\w.-]+|https://|bundled:", info["source"])
    assert info["license"] in {"MIT", "Apache-2.0"}
    for metric in info["metrics"]:
        assert set(metric) == {"name", "value", "protocol", "source"}
        assert metric["protocol"] and metric["source"]


@pytest.mark.parametrize("name", NAMES)
def test_the_name_says_the_size(name):
    info, built = preset_info(name), config(name)
    vision = getattr(built, "vision", built)
    assert vision.image.size == vision.image_size
    if "resnet" in name:
        return
    patch, *resolution = re.search(r"_patch(\d+)(?:_(\d{3})(?=_))?", name).groups()
    assert vision.patch_size == (int(patch),) * 2
    if not info["source"].startswith("bundled:"):
        assert vision.image_size == (int(resolution[0] or 224),) * 2


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_builds_with_the_weights_it_says(name):
    info, built = preset_info(name), config(name)
    family = info["family"]
    vision = getattr(built, "vision", built)
    if "resnet" in name:
        assert count(family, built) == info["params"]
        return
    built = plain(built)
    base = count(family, with_layers(built, 1))
    params = base + (vision.num_layers - 1) * (count(family, with_layers(built, 2)) - base)
    if family == "clip":
        params += (built.text.num_layers - 1) * (count(family, with_layers(built, 1, 2)) - base)
    assert params == info["params"]


def test_a_whole_entry_has_the_weights_it_says():
    name = "vit_tiny_patch16_224_augreg_in21k_ft_in1k"
    assert count("vit", config(name)) == preset_info(name)["params"]


@pytest.mark.parametrize("name", OFFICIAL)
def test_openai_models_are_of_the_official_size(name):
    info = preset_info(name)
    assert info["params"] == OFFICIAL[name]
    for tower in ("vision", "text"):
        assert info["config"][tower]["activation"] == "quick_gelu"
        assert info["config"][tower]["hidden_dim"] == 64 * info["config"][tower]["num_heads"]


@pytest.mark.parametrize("name", LISTED)
def test_laion_models_are_of_the_listed_size(name):
    info = preset_info(name)
    assert round(info["params"] / 1e6, 1) == LISTED[name]
    for tower in ("vision", "text"):
        assert info["config"][tower]["activation"] == "gelu"


def test_one_laion_model_has_pixels_of_its_own():
    means = {name: preset_info(name)["config"]["vision"]["image"]["mean"] for name in LISTED}
    odd = {name for name, mean in means.items() if mean == [0.5, 0.5, 0.5]}
    assert odd == {"clip_vit_large_patch14_laion2b_s32b_b82k"}


@pytest.mark.parametrize("family", sorted({preset_info(name)["family"] for name in NAMES}))
def test_presets_are_listed_by_family(family):
    names = list_presets(family=family)
    assert names
    assert names == sorted(n for n in NAMES if preset_info(n)["family"] == family)


def test_an_unknown_family_is_an_error():
    with pytest.raises(ValueError, match=r"family is one of \['clip', 'vit'"):
        list_presets("resnet")


def test_an_unknown_name_is_an_error_with_similar_ones():
    with pytest.raises(ValueError, match="Similar: clip_vit_base_patch32_openai"):
        preset_info("clip_vit_base_patch32_opneai")


def test_what_is_told_of_a_preset_can_be_changed_without_harm():
    preset_info(NAMES[0])["params"] = 0
    assert preset_info(NAMES[0])["params"] > 0


def test_the_zoo_is_found_beside_a_checkout_and_in_a_package(tmp_path, monkeypatch):
    beside = catalogue.zoo_directory()
    assert (beside / "clip.toml").is_file()
    (tmp_path / "zoo").mkdir()
    monkeypatch.setattr(catalogue, "__file__", str(tmp_path / "catalogue.py"))
    assert catalogue.zoo_directory() == tmp_path / "zoo"
