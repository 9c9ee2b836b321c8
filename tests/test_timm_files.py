"""What timm's files say of a model without timm, and DINOv2's own files, which say nothing."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from tiny_models import tiny_vit

from keras_clip import CheckpointError, export_checkpoint, from_preset
from keras_clip.convert import dinov2, timm_vit
from keras_clip.convert.defaults.pictures import DINOV2_OWN
from keras_clip.convert.dialects import find_dialect
from keras_clip.convert.table import write
from keras_clip.convert.write import write_safetensors
from keras_clip.models.config import ViTConfig
from keras_clip.models.vit import ViT
from keras_clip.models.weights import named_weights
from keras_clip.preprocessing.image_config import ImageConfig

TINY = {"architecture": "vit_tiny_patch16_224"}


def shaken(model):
    """The model with all weights different from 0 and 1."""
    random = np.random.default_rng(0)
    for weight in named_weights(model).values():
        weight.assign(0.3 * random.standard_normal(weight.shape).astype("float32") + 0.5)
    return model


def arrays(model):
    return {n: keras.ops.convert_to_numpy(v.value) for n, v in named_weights(model).items()}


def shapes(**changes):
    """Names and shapes of a vit_tiny of one block on 3 x 3 patches; None leaves one out."""
    values = {"hidden_dim": 192, "num_layers": 1, "num_heads": 3, "mlp_dim": 768}
    config = ViTConfig(**values, image_size=48, num_classes=5).to_dict()
    weights = {
        "patch_embedding/kernel": (16, 16, 3, 192),
        "position_embedding/embeddings": (10, 192),
        "class_token/tokens": (1, 192),
        "block_0/attention/qkv/kernel": (192, 576),
        "block_0/mlp/fc1/kernel": (192, 768),
        "block_0/mlp/fc2/kernel": (768, 192),
        "head/kernel": (192, 5),
    }
    found = {
        row.source: row.transform.file_shape(weights.get(row.target, (192,)))
        for row in timm_vit.table(config).rows
    }
    found = {name: shape for name, shape in {**found, **changes}.items() if shape}
    return {name: SimpleNamespace(shape=shape) for name, shape in found.items()}


def config_from(checkpoint, **config):
    return timm_vit.config_from(checkpoint, {**TINY, **config})


def test_sizes_are_read_off_the_tensors():
    config = ViTConfig.from_dict(config_from(shapes()))
    assert (config.hidden_dim, config.num_heads, config.num_layers) == (192, 3, 1)
    assert (config.mlp_dim, config.num_classes, config.image_size) == (768, 5, (48, 48))
    assert (config.pooling, config.final_norm, config.epsilon) == ("class_token", "tokens", 1e-6)
    assert config.use_prefix_positions and config.use_qkv_bias and config.layer_scale is None
    arguments = {"model_args": {"no_embed_class": True}}
    config = ViTConfig.from_dict(config_from(shapes(pos_embed=(1, 9, 192)), **arguments))
    assert not config.use_prefix_positions and config.image_size == (48, 48)


def test_the_stated_size_wins_where_it_fits():
    for stated, wanted in (((3, 16, 144), (16, 144)), ((3, 224, 224), (48, 48))):
        config = config_from(shapes(), pretrained_cfg={"input_size": stated})
        assert config["image_size"] == wanted


def test_labels():
    names = ["ant", "bee", "cat", "dog", "eel"]
    assert config_from(shapes(), label_names=names)["labels"] == tuple(names)
    numbered = {str(i): name for i, name in enumerate(names)}
    assert config_from(shapes(), label_names=numbered)["labels"] == tuple(names)
    assert config_from(shapes(), label_names=names[:3])["labels"] is None


def test_pictures():
    pretrained = {"crop_mode": "squash", "interpolation": "bilinear", "mean": [0.5] * 3}
    image = config_from(shapes(), pretrained_cfg=pretrained)["image"]
    assert (image["resize_mode"], image["interpolation"]) == ("squash", "bilinear")
    assert (image["mean"], image["std"]) == ((0.5,) * 3, (0.229, 0.224, 0.225))
    assert (image["crop_fraction"], image["crop"]) == (0.875, "timm")


@pytest.mark.parametrize(
    ("tag", "activation"), [("openai", None), ("openai_ft_in1k", "softmax"), (None, "softmax")]
)
def test_a_projection_in_place_of_a_head_gives_no_probabilities(tag, activation):
    name, args = "vit_base_patch16_clip_224", {"num_heads": 3}
    settings = {"architecture": name, "model_args": args, "pretrained_cfg": {"tag": tag}}
    assert config_from(shapes(), **settings)["head_activation"] == activation


@pytest.mark.parametrize(
    ("changes", "config", "message"),
    [
        ({}, {"architecture": None}, r"architecture is None.*config=\{'architecture'"),
        ({}, {"architecture": "vit_base_patch16_rpn_224"}, "rpn_224', which is not known"),
        ({}, {"architecture": "resnet50"}, "resnet50', which is not known"),
        ({}, {"architecture": "vit_small_patch16_224"}, "width 192 has no known number of heads"),
        ({}, {"model_args": {"num_heads": 5}}, "no known number of heads"),
        ({}, {"model_args": {"norm_layer": "rmsnorm"}}, r"model_args has \['norm_layer'\]"),
        ({}, {"model_args": {"act_layer": "relu"}}, "act_layer is 'relu'"),
        ({}, {"global_pool": "max"}, "global_pool is 'max'"),
        ({}, {"pretrained_cfg": {"crop_mode": "border"}}, "crop_mode is 'border'"),
        ({}, {"pretrained_cfg": {"interpolation": "nearest"}}, "interpolation is 'nearest'"),
        ({"pos_embed": (1, 12, 192)}, {}, "12 rows"),
        ({"patch_embed.proj.weight": None}, {}, "patch_embed.proj.weight' is missing"),
        ({"blocks.0.mlp.fc2.weight": None}, {}, "fc2.weight' is missing"),
        ({"attn_pool.latent": (1, 1, 192)}, {}, "attention pooling beside other tokens"),
    ],
)
def test_what_makes_no_model_is_named(changes, config, message):
    with pytest.raises(CheckpointError, match=message):
        config_from(shapes(**changes), **config)


def test_a_missing_tensor_is_named(tmp_path):
    random = np.random.default_rng(0)
    tensors = {
        name: random.standard_normal(tensor.shape).astype("float32")
        for name, tensor in shapes(**{"norm.bias": None}).items()
    }
    write_safetensors(tmp_path / "vit.safetensors", tensors)
    with pytest.raises(CheckpointError, match=r"- norm\.bias: not in the file"):
        from_preset(tmp_path / "vit.safetensors", config=TINY)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_classes": 3, "labels": ("ant", "bee", "cat"), "layer_scale": 1e-5},
        {"num_classes": 3, "num_prefix_tokens": 2, "use_distillation_head": True},
        {"num_classes": 3, "pooling": "mean", "final_norm": "pooled", "use_qkv_bias": False},
        {"num_prefix_tokens": 0, "pooling": "attention", "activation": "gelu_tanh"},
        {"epsilon": 1e-5, "use_norm_pre": True, "use_patch_bias": False},
        {"use_prefix_positions": False, "num_register_tokens": 2, "activation": "swiglu"},
    ],
)
def test_what_is_written_is_read_back(changes, tmp_path):
    image = ImageConfig(crop="timm", color="first")
    vit = shaken(tiny_vit(**changes, image=image))
    export_checkpoint(vit, tmp_path / "vit", "timm")
    again = from_preset(tmp_path / "vit")
    assert again.config == vit.config
    for name, array in arrays(again).items():
        np.testing.assert_array_equal(array, arrays(vit)[name], err_msg=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pooling": "class_and_mean", "num_classes": 2}, "pooling='class_and_mean'"),
        ({"num_register_tokens": 2}, "registers behind tokens with positions"),
        ({"num_prefix_tokens": 3}, "class_token/tokens: the layout has no place"),
        (
            {"num_prefix_tokens": 2, "use_prefix_positions": False},
            "second prefix token without a position",
        ),
        ({"num_prefix_tokens": 2, "num_classes": 2}, "second prefix token without a head"),
        ({"use_norm_pre": True}, "bias of the patches and a norm"),
        ({"epsilon": 1e-12}, "epsilon=1e-12 would be read as 1e-06"),
    ],
)
def test_what_timm_cannot_express(changes, message, tmp_path):
    vit = tiny_vit(**{"image_size": 8, "pooling": "class_token", **changes})
    with pytest.raises(CheckpointError, match=rf"(?s)cannot be written as timm.*{message}"):
        export_checkpoint(vit, tmp_path / "out", "timm")
    assert not list(tmp_path.iterdir())


DINOV2 = {
    **{"hidden_dim": 64, "num_layers": 3, "num_heads": 1, "mlp_dim": 24, "patch_size": 4},
    **{"image_size": 12, "layer_scale": 1e-5, "position_resize": "bicubic_offset"},
    "image": DINOV2_OWN,
}
FILES = {
    "plain": (DINOV2, "blocks.{i}."),
    "chunks": (DINOV2, "blocks.{chunk}.{i}."),
    "registers": (
        {**DINOV2, "num_register_tokens": 2, "position_resize": "bicubic_antialias"},
        "blocks.{i}.",
    ),
    "swiglu": ({**DINOV2, "activation": "swiglu"}, "blocks.{chunk}.{i}."),
}


@pytest.mark.parametrize("name", FILES)
def test_dinov2s_own_files(name, tmp_path):
    values, blocks = FILES[name]
    vit = shaken(ViT(ViTConfig.from_dict(values)))
    names = [blocks.format(i=i, chunk=i // 2) + "norm1.weight" for i in range(3)]
    made = write(dinov2.table(vit.config.to_dict(), names), arrays(vit))
    tensors = {tensor: np.ascontiguousarray(make()) for tensor, make in made.items()}
    tensors["mask_token"] = np.ones((1, 64), "float32")
    assert find_dialect(tensors) == ("dinov2", dinov2)
    write_safetensors(tmp_path / "dinov2.safetensors", tensors)
    again = from_preset(tmp_path / "dinov2.safetensors")
    assert again.config == vit.config
    for weight, array in arrays(again).items():
        np.testing.assert_array_equal(array, arrays(vit)[weight], err_msg=weight)
    del tensors["norm.weight"], tensors[names[1]]
    write_safetensors(tmp_path / "dinov2.safetensors", tensors)
    with pytest.raises(CheckpointError, match=r"numbered \[0, 2\]"):
        from_preset(tmp_path / "dinov2.safetensors")


@pytest.mark.parametrize("name", ["norm_pre.weight", "attn_pool.latent"])
def test_a_family_leaves_open_what_image_towers_differ_in(name):
    with pytest.raises(CheckpointError, match=f"'{name}' is of an image tower.*give timm's name"):
        timm_vit.config_from(shapes(**{name: (192,)}), {"architecture": "vit"})


def test_a_new_name_has_to_tell_its_pictures():
    name = {"architecture": "vit_tiny_patch7_999", "model_args": {"num_heads": 3}}
    with pytest.raises(CheckpointError, match=r"pixels is not known of vit_tiny_patch7_999: add"):
        timm_vit.config_from(shapes(), name)
    told = {**name, "pretrained_cfg": {"mean": (0.5, 0.5, 0.5)}}
    assert timm_vit.config_from(shapes(), told)["image"]["crop_fraction"] == 0.875


@pytest.mark.parametrize("family", ["vit", "deit"])
def test_a_bare_file_takes_its_family_from_the_call(family, tmp_path):
    vit = shaken(ViT(ViTConfig(192, 1, 3, 768, image_size=48, num_classes=5)))
    tensors = write(timm_vit.table(vit.config.to_dict()), arrays(vit))
    write_safetensors(tmp_path / "bare.safetensors", tensors)
    with pytest.raises(CheckpointError, match="give family='vit'"):
        from_preset(tmp_path / "bare.safetensors")
    found = from_preset(tmp_path / "bare.safetensors", family=family)
    assert found.config.num_heads == 3
    assert all(np.array_equal(value, arrays(vit)[n]) for n, value in arrays(found).items())
    with pytest.raises(CheckpointError, match="not known for family='clip'"):
        from_preset(tmp_path / "bare.safetensors", family="clip")
    with pytest.raises(ValueError, match="family is one of"):
        from_preset(tmp_path / "bare.safetensors", family="resnet")
