"""Each layout is known by its content, and its configuration means what its library means."""

import json
import pathlib
from types import SimpleNamespace

import pytest

from keras_clip.convert import (
    CheckpointError,
    google_vit,
    huggingface_clip,
    huggingface_vit,
    open_checkpoint,
    openai,
)
from keras_clip.convert.dialects import DIALECTS, find_dialect
from keras_clip.models.config import CLIPConfig, ViTConfig

FIXTURES = pathlib.Path(__file__).parent / "fixtures" / "parity"
CLIP = {"model_type": "clip"}
VIT = {"model_type": "vit"}
FILES = {
    "openai": "openai_clip.pt",
    "huggingface_clip": "huggingface_clip",
    "huggingface_vit": "huggingface_vit",
    "google": "google_vit.npz",
}


def opened(name):
    path = FIXTURES / FILES[name]
    config = path / "config.json"
    return open_checkpoint(path), json.loads(config.read_text()) if path.is_dir() else None


def shapes(**tensors):
    """A checkpoint of which only names and shapes matter."""
    return {name: SimpleNamespace(shape=shape) for name, shape in tensors.items()}


def stored_shapes(name):
    checkpoint, _ = opened(name)
    with checkpoint:
        return shapes(**{tensor: checkpoint[tensor].shape for tensor in checkpoint})


@pytest.mark.parametrize("name", FILES)
def test_a_dialect_is_found_by_content(name):
    checkpoint, config = opened(name)
    with checkpoint:
        assert find_dialect(checkpoint, config) == (name, DIALECTS[name])


@pytest.mark.parametrize("name", FILES)
def test_a_table_covers_its_file(name):
    checkpoint, config = opened(name)
    with checkpoint:
        dialect = DIALECTS[name]
        table = dialect.table(dialect.config_from(checkpoint, config), checkpoint)
        ignored = {tensor for tensor in checkpoint if tensor in table.ignore}
        assert {row.source for row in table.rows} == set(checkpoint) - ignored


def test_an_unknown_layout_is_named():
    with pytest.raises(CheckpointError, match="model_type 'bert'"):
        find_dialect(shapes(a=(1,)), {"model_type": "bert"})
    with pytest.raises(CheckpointError, match=r"some\.weight"):
        find_dialect(shapes(**{"some.weight": (1,)}))


def test_openai_reads_its_sizes_off_the_tensors():
    checkpoint, _ = opened("openai")
    with checkpoint:
        config = CLIPConfig.from_dict(openai.config_from(checkpoint))
    vision, text = config.vision, config.text
    assert (vision.hidden_dim, vision.num_heads, vision.num_layers) == (64, 1, 1)
    assert (vision.patch_size, vision.image_size, vision.projection_dim) == ((8, 8), (24, 24), 16)
    assert (vision.activation, vision.epsilon, vision.use_patch_bias) == ("quick_gelu", 1e-5, False)
    assert (vision.image.crop, vision.image.color) == ("openai", "last")
    assert (text.vocabulary_size, text.context_length, text.pooling) == (40, 12, "highest_id")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"visual.proj": None}, r"visual\.proj' is missing"),
        ({"visual.positional_embedding": (9, 64)}, "9 rows"),
        ({"visual.conv1.weight": (80, 3, 8, 8)}, "width .* 80"),
        ({"token_embedding.weight": (40, 65)}, "do not tell heads"),
        ({"visual.conv1.weight": (64, 3)}, "not 4 axes"),
        ({"visual.transformer.resblocks.2.ln_1.weight": (64,)}, r"numbered \[0, 2\]"),
    ],
)
def test_openai_files_that_make_no_model(changes, message):
    changes = {**changes, "input_resolution": None}
    checkpoint = stored_shapes("openai") | shapes(**{n: s for n, s in changes.items() if s})
    for name in [name for name, shape in changes.items() if shape is None]:
        del checkpoint[name]
    with pytest.raises(CheckpointError, match=message):
        openai.config_from(checkpoint, openai.OFFICIAL)


def clip_config(**config):
    return CLIPConfig.from_dict(huggingface_clip.config_from({}, {**CLIP, **config}))


def test_huggingface_clip_defaults_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    wanted, config = transformers.CLIPConfig(), clip_config()
    vision, text = config.vision, config.text
    for ours, theirs in ((vision, wanted.vision_config), (text, wanted.text_config)):
        assert ours.hidden_dim == theirs.hidden_size
        assert ours.num_layers == theirs.num_hidden_layers
        assert ours.num_heads == theirs.num_attention_heads
        assert ours.mlp_dim == theirs.intermediate_size
        assert ours.activation == theirs.hidden_act
        assert ours.epsilon == theirs.layer_norm_eps
        assert ours.projection_dim == wanted.projection_dim
    assert vision.image_size == (wanted.vision_config.image_size,) * 2
    assert vision.patch_size == (wanted.vision_config.patch_size,) * 2
    assert text.vocabulary_size == wanted.text_config.vocab_size
    assert text.context_length == wanted.text_config.max_position_embeddings
    assert (text.pooling, text.end_token_id) == ("end_token", wanted.text_config.eos_token_id)


def test_the_projection_is_the_top_levels():
    config = clip_config(projection_dim=24, text_config={"projection_dim": 512})
    assert config.vision.projection_dim == config.text.projection_dim == 24


@pytest.mark.parametrize("end", [2, [2]])
def test_end_token_2_means_the_highest_id(end):
    assert clip_config(text_config={"eos_token_id": end}).text.pooling == "highest_id"


def test_the_older_sub_configuration_wins_with_its_defaults():
    transformers = pytest.importorskip("transformers")
    config = {
        "text_config": {"hidden_size": 64, "num_attention_heads": 4, "vocab_size": 100},
        "text_config_dict": {"hidden_size": 96},
    }
    theirs, ours = transformers.CLIPConfig(**config).text_config, clip_config(**config).text
    assert ours.hidden_dim == theirs.hidden_size == 96
    assert ours.num_heads == theirs.num_attention_heads
    assert ours.vocabulary_size == theirs.vocab_size


@pytest.mark.parametrize(
    ("tower", "values", "message"),
    [
        ("vision_config", {"hidden_size": 8, "num_attention_heads": 3}, "num_attention_heads is 3"),
        ("text_config", {"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ("text_config", {"hidden_size": "8"}, "hidden_size is '8'"),
        ("text_config", {"num_hidden_layers": True}, "num_hidden_layers is True"),
        ("text_config", {"layer_norm_eps": "small"}, "layer_norm_eps"),
        ("text_config", {"eos_token_id": [1, 2]}, "eos_token_id"),
        ("vision_config", {"num_channels": 1}, "num_channels is 1"),
        ("vision_config", {"image_size": 225}, "image_size is 225"),
        ("vision_config", {"patch_size": [1, 2, 3]}, "patch_size is"),
    ],
)
def test_a_bad_value_is_named_with_its_place(tower, values, message):
    with pytest.raises(CheckpointError, match=f"{tower} in config.json.*{message}"):
        clip_config(**{tower: values})


def test_huggingface_vit_keeps_labels_in_order():
    labels = {str(i): f"class {i}" for i in reversed(range(12))}
    checkpoint = shapes(**{"classifier.weight": (12, 768), "classifier.bias": (12,)})
    config = ViTConfig.from_dict(
        huggingface_vit.config_from(checkpoint, {**VIT, "id2label": labels})
    )
    assert config.num_classes == 12 and config.labels == tuple(f"class {i}" for i in range(12))
    assert (config.epsilon, config.activation) == (1e-12, "gelu")
    del labels["3"]
    with pytest.raises(CheckpointError, match="id2label has no '3'"):
        huggingface_vit.config_from(checkpoint, {**VIT, "id2label": labels})


def test_huggingface_vit_with_and_without_prefix():
    config = huggingface_vit.config_from({}, {**VIT, "num_hidden_layers": 1, "qkv_bias": False})
    for prefix in ("", "vit."):
        table = huggingface_vit.table(config, [f"{prefix}layernorm.weight"])
        assert all(row.source.startswith(prefix) for row in table.rows)
        assert f"{prefix}pooler.dense.*" in table.ignore
        assert not any(row.source.endswith("query.bias") for row in table.rows)


@pytest.mark.parametrize("prefix", ["", "opt/target/", "params/"])
def test_google_vit_with_every_prefix(prefix):
    checkpoint = {prefix + name: tensor for name, tensor in stored_shapes("google").items()}
    values = google_vit.config_from(checkpoint)
    config = ViTConfig.from_dict(values)
    assert (config.hidden_dim, config.num_heads, config.num_layers) == (20, 2, 2)
    assert (config.activation, config.epsilon, config.num_classes) == ("gelu_tanh", 1e-6, 5)
    assert (config.image_size, config.position_resize) == ((24, 24), "bilinear_aligned")
    assert {row.source for row in google_vit.table(values, checkpoint).rows} == set(checkpoint)


def test_google_files_that_make_no_model():
    checkpoint = stored_shapes("google")
    with pytest.raises(CheckpointError, match="hybrid"):
        google_vit.config_from({**checkpoint, **shapes(**{"conv_root/kernel": (7, 7, 3, 64)})})
    position = {"Transformer/posembed_input/pos_embedding": (1, 9, 20)}
    with pytest.raises(CheckpointError, match="9 rows"):
        google_vit.config_from({**checkpoint, **shapes(**position)})


@pytest.mark.parametrize("name", ["huggingface_clip", "huggingface_vit"])
def test_what_is_written_means_the_same(name):
    checkpoint, described = opened(name)
    dialect = DIALECTS[name]
    family = CLIPConfig if dialect.FAMILY == "clip" else ViTConfig
    with checkpoint:
        config = family.from_dict(dialect.config_from(checkpoint, described))
        files = json.loads(json.dumps(dialect.config_to(config.to_dict())))
        again = dialect.config_from(
            checkpoint, files["config.json"], files["preprocessor_config.json"]
        )
    assert family.from_dict(again) == config
