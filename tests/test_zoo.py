"""The preset tables: every entry builds, has the weights it says, and names known sources."""

import functools
import math
import re

import keras
import pytest

from keras_clip import ImageConfig, catalogue, identification, list_presets, preset_info
from keras_clip.convert.dialects import DIALECTS
from keras_clip.models.weights import named_weights

KEYS = {"name", "family", "table", "source", "license", "params", "config", "metrics"}
OPTIONAL = {"tokenizer", "sha256"}
NAMES = list_presets()

# Counted in the official files.
OFFICIAL = {
    "clip_resnet50_openai": 102_007_137,
    "clip_resnet101_openai": 119_688_033,
    "clip_resnet50x4_openai": 178_300_601,
    "clip_resnet50x16_openai": 290_979_217,
    "clip_resnet50x64_openai": 623_258_305,
    "clip_vit_base_patch32_openai": 151_277_313,
    "clip_vit_base_patch16_openai": 149_620_737,
    "clip_vit_large_patch14_openai": 427_616_513,
    "clip_vit_large_patch14_336_openai": 427_944_193,
}
# Millions, as OpenCLIP lists them.
LISTED = {
    "clip_vit_base_patch32_laion2b_s34b_b79k": 151.28,
    "clip_vit_base_patch32_256_datacomp_s34b_b86k": 151.29,
    "clip_vit_base_patch16_laion2b_s34b_b88k": 149.62,
    "clip_vit_base_plus_patch16_240_laion400m_e31": 208.38,
    "clip_vit_large_patch14_laion2b_s32b_b82k": 427.62,
    "clip_vit_huge_patch14_laion2b_s32b_b79k": 986.11,
    "clip_vit_huge_patch14_378_dfn5b": 986.71,
    "clip_vit_giant_patch14_laion2b_s34b_b88k": 1366.68,
    "clip_vit_gigantic_patch14_laion2b_s39b_b160k": 2539.57,
    "clip_vit_large_patch14_clipa_datacomp1b": 414.21,
    "clip_vit_large_patch14_336_clipa_datacomp1b": 414.54,
    "clip_vit_huge_patch14_clipa_datacomp1b": 968.24,
    "clip_vit_huge_patch14_336_clipa_datacomp1b": 968.64,
    "clip_vit_gigantic_patch14_clipa_datacomp1b": 2517.22,
    "clip_vit_gigantic_patch14_336_clipa_datacomp1b": 2517.76,
    "siglip_vit_base_patch16_224_webli": 203.16,
    "siglip_vit_base_patch16_256_webli": 203.2,
    "siglip_vit_base_patch16_256_i18n_webli": 370.63,
    "siglip_vit_base_patch16_384_webli": 203.45,
    "siglip_vit_base_patch16_512_webli": 203.79,
    "siglip_vit_large_patch16_256_webli": 652.15,
    "siglip_vit_large_patch16_384_webli": 652.48,
    "siglip_vit_so400m_patch14_224_webli": 877.36,
    "siglip_vit_so400m_patch14_384_webli": 877.96,
}
LICENSES = {"MIT", "Apache-2.0", "CC-BY-NC-4.0", "apple-sample-code-license"}


def config(name):
    """The configuration of a preset, built from its table."""
    info = preset_info(name)
    return identification.FAMILIES[info["family"]][0](info["config"])


@functools.cache  # many presets differ in their pictures alone
def weights(family, built):
    """{name: number of values} of a model that is built without any memory for its weights."""
    with keras.StatelessScope(initialize_variables=False):
        model = identification.FAMILIES[family][1](built)
    found = {name: math.prod(weight.shape) for name, weight in named_weights(model).items()}
    # Keras would give them their memory at the next occasion, unless it forgets them.
    keras.utils.clear_session(free_memory=False)
    return found


def count(family, built):
    return sum(weights(family, built).values())


def plain(built):
    """The configuration without what no weight depends on."""
    vision = getattr(built, "vision", built)
    gated = vision.activation == "swiglu"
    vision = vision.replace(activation="swiglu" if gated else "gelu", epsilon=1e-6)
    if hasattr(vision, "position_resize"):
        vision = vision.replace(image=ImageConfig(), position_resize="bicubic")
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
    assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", name)
    assert name.startswith(info["family"])
    assert info["table"] in {*DIALECTS, "keras"}
    assert re.match(r"hf://[\w.-]+/[\w.-]+|https://|bundled:", info["source"])
    assert info["license"] in LICENSES
    for metric in info["metrics"]:
        assert set(metric) == {"name", "value", "protocol", "source"}
        assert metric["protocol"] and metric["source"]
    if "sha256" in info:
        assert re.fullmatch("[0-9a-f]{64}", info["sha256"]) and info["sha256"] in info["source"]


@pytest.mark.parametrize("name", NAMES)
def test_the_name_says_the_size(name):
    info, built = preset_info(name), config(name)
    vision = getattr(built, "vision", built)
    if "resnet" in name:
        return
    patch, *resolution = re.search(r"_patch(\d+)(?:_(\d{3})(?=_))?", name).groups()
    assert vision.patch_size == (int(patch),) * 2
    if "naflex" in name:
        assert vision.image.patch_size == vision.patch_size
        return
    assert vision.image.size == vision.image_size
    if not info["source"].startswith("bundled:"):
        usual = 518 if info["family"] == "dinov2" else 224
        # What whole patches cover: 378 of 384 pixels with patches of 14.
        covered = int(resolution[0] or usual) // int(patch) * int(patch)
        assert vision.image_size == (covered,) * 2


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
    if hasattr(built, "text"):
        params += (built.text.num_layers - 1) * (count(family, with_layers(built, 1, 2)) - base)
    assert params == info["params"]


@pytest.mark.parametrize("name", [n for n in NAMES if preset_info(n)["table"] != "keras"])
def test_the_layout_fills_every_weight(name):
    info, built = preset_info(name), config(name)
    built = built if "resnet" in name else with_layers(plain(built), 1)
    table = DIALECTS[info["table"]].table(built.to_dict())
    assert {row.target for row in table.rows} == set(weights(info["family"], built))


def test_entries_are_like_others_but_for_what_they_say():
    large, like = (
        preset_info(f"clip_vit_large_patch14_{n}") for n in ("datacomp_xl_s13b_b90k", "dfn2b")
    )
    assert (large["params"], large["table"]) == (like["params"], like["table"])
    assert large["license"] != like["license"] and large["source"] != like["source"]
    for tower in ("vision", "text"):
        assert large["config"][tower]["activation"] == "gelu"
        assert like["config"][tower] == {**large["config"][tower], "activation": "quick_gelu"}
    assert preset_info("clip_vit_huge_patch14_378_metaclip2_worldwide")["metrics"] == []


def test_a_whole_entry_has_the_weights_it_says():
    name = "vit_tiny_patch16_224_augreg_in21k_ft_in1k"
    assert count("vit", config(name)) == preset_info(name)["params"]


@pytest.mark.parametrize("name", OFFICIAL)
def test_openai_models_are_of_the_official_size(name):
    towers = preset_info(name)["config"]
    of = weights("clip", config(name))
    assert sum(n for weight, n in of.items() if "/moving_" not in weight) == OFFICIAL[name]
    for tower in ("text",) if "resnet" in name else ("vision", "text"):
        assert towers[tower]["activation"] == "quick_gelu"
        assert towers[tower]["hidden_dim"] == 64 * towers[tower]["num_heads"]


@pytest.mark.parametrize("name", LISTED)
def test_models_are_of_the_size_that_openclip_lists(name):
    assert round(preset_info(name)["params"] / 1e6, 2) == LISTED[name]


def test_activations_are_those_of_the_training():
    quick = {
        name
        for name in list_presets("clip")
        if preset_info(name)["config"]["text"]["activation"] == "quick_gelu"
    }
    wanted = ("openai", "laion400m", "metaclip", "dfn")
    assert {name for name in quick if not any(word in name for word in wanted)} <= {
        "clip_resnet_tiny_shapes"
    }
    for name in ("dfn2b_s39b", "laion400m_e31", "laion400m_e32"):
        assert f"clip_vit_large_patch14_{name}" not in quick
    for name in ("metaclip_altogether", "378_metaclip2_worldwide"):
        assert f"clip_vit_huge_patch14_{name}" not in quick
    for name in ("base_patch32_laion400m_e32", "huge_patch14_metaclip2_worldwide"):
        assert f"clip_vit_{name}" in quick


def test_one_laion_model_has_pixels_of_its_own():
    laion = [name for name in list_presets("clip") if "laion2b" in name and "clipa" not in name]
    means = {name: preset_info(name)["config"]["vision"]["image"]["mean"] for name in laion}
    odd = {name for name, mean in means.items() if mean == [0.5, 0.5, 0.5]}
    assert odd == {"clip_vit_large_patch14_laion2b_s32b_b82k"}


@pytest.mark.parametrize("family", sorted({preset_info(name)["family"] for name in NAMES}))
def test_presets_are_listed_by_family(family):
    names = list_presets(family=family)
    assert names
    assert names == sorted(n for n in NAMES if preset_info(n)["family"] == family)


def test_an_unknown_family_is_an_error():
    with pytest.raises(ValueError, match=r"family is one of \['clip', 'deit'"):
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
