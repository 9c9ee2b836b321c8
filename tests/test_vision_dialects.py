"""transformers' DeiT, DINOv2 and CLIP classifiers give their own numbers here, and come back."""

import importlib.util
import pathlib

import keras
import numpy as np
import pytest
from tiny_models import tiny_vit

from keras_clip import CheckpointError, export_checkpoint, from_preset
from keras_clip.convert import (
    huggingface_clip_classifier,
    huggingface_deit,
    huggingface_dinov2,
    open_checkpoint,
)
from keras_clip.convert.write import write_safetensors

TOLERANCE = 1e-5
SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "image_size": 32,
    "patch_size": 8,
}
DEIT = {**SIZES, "intermediate_size": 36}
DINOV2 = {**SIZES, "mlp_ratio": 3, "layerscale_value": 0.5}
SWIGLU = {**DINOV2, "use_swiglu_ffn": True}
LABELS = {"id2label": {0: "ant", 1: "bee", 2: "cat"}, "label2id": {"ant": 0, "bee": 1, "cat": 2}}
MODELS = {
    "DeiTModel": DEIT,
    "DeiTForImageClassification": {**DEIT, **LABELS, "qkv_bias": False},
    "DeiTForImageClassificationWithTeacher": {**DEIT, **LABELS},
    "Dinov2Model": DINOV2,
    "Dinov2ForImageClassification": {**SWIGLU, **LABELS},
    "Dinov2WithRegistersModel": {**SWIGLU, "num_register_tokens": 3},
    "Dinov2WithRegistersForImageClassification": {**DINOV2, **LABELS, "num_register_tokens": 2},
    "CLIPForImageClassification": {
        "vision_config": {**SIZES, "intermediate_size": 36, "hidden_act": "gelu"},
        **LABELS,
    },
}
# What transformers stores beside the weights that lead to tokens and logits.
UNUSED = ("pooler.", "mask_token", "post_layernorm.")


def makers():
    """The module that makes the committed checkpoints."""
    path = pathlib.Path(__file__).parent / "fixtures" / "make_parity.py"
    spec = importlib.util.spec_from_file_location("makers", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def random_model(name):
    transformers = pytest.importorskip("transformers", minversion="5")
    kind = getattr(transformers, name)
    return makers().randomized(kind(kind.config_class(**MODELS[name])), 0)


def saved(name, folder):
    model = random_model(name)
    model.save_pretrained(folder)
    return model


def pictures(height, width):
    return np.random.default_rng(0).standard_normal((2, height, width, 3)).astype("float32")


def answer(model, images):
    """Logits, or tokens where there is no head."""
    import torch

    resizes = {} if "Dinov2" in type(model).__name__ else {"interpolate_pos_encoding": True}
    with torch.no_grad():
        out = model(pixel_values=torch.from_numpy(images).permute(0, 3, 1, 2), **resizes)
    return (out.logits if hasattr(out, "logits") else out.last_hidden_state).numpy()


def assert_close(found, wanted):
    found = keras.ops.convert_to_numpy(found)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < TOLERANCE * np.abs(wanted).max()


def tensors(path):
    with open_checkpoint(path) as checkpoint:
        return {name: checkpoint[name].read() for name in checkpoint}


@pytest.mark.parametrize("size", [(32, 32), (40, 24)])
@pytest.mark.parametrize("name", MODELS)
def test_numbers_are_those_of_transformers(name, size, tmp_path):
    model, images = saved(name, tmp_path / "theirs"), pictures(*size)
    settings = {"head_activation": None} if "For" in name else {}
    ours = from_preset(tmp_path / "theirs", image_size=size, **settings)
    assert_close(ours(images), answer(model, images))


@pytest.mark.parametrize("name", MODELS)
def test_transformers_reads_what_is_written(name, tmp_path):
    model = saved(name, tmp_path / "theirs")
    ours = from_preset(tmp_path / "theirs")
    export_checkpoint(ours, tmp_path / "ours")
    first, second = tensors(tmp_path / "theirs"), tensors(tmp_path / "ours")
    assert all(any(part in name for part in UNUSED) for name in set(first) - set(second))
    for tensor, values in second.items():
        np.testing.assert_array_equal(values, first[tensor], err_msg=tensor)
    again, images = type(model).from_pretrained(tmp_path / "ours").eval(), pictures(32, 32)
    np.testing.assert_array_equal(answer(again, images), answer(model, images))
    assert (
        again.config.architectures == [name] and again.config.model_type == model.config.model_type
    )
    if "id2label" in MODELS[name]:
        assert again.config.id2label == model.config.id2label
    assert from_preset(tmp_path / "ours").config == ours.config


def test_labels_and_both_heads_of_a_distilled_model(tmp_path):
    saved("DeiTForImageClassificationWithTeacher", tmp_path / "theirs")
    vit = from_preset(tmp_path / "theirs")
    assert vit.config.labels == ("ant", "bee", "cat") and vit.config.use_distillation_head
    new = from_preset(tmp_path / "theirs", num_classes=7)
    assert new.output_shape == (None, 7)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("DeiTForImageClassificationWithTeacher", "deit.embeddings.distillation_token"),
        ("DeiTForImageClassificationWithTeacher", "distillation_classifier.bias"),
        ("Dinov2ForImageClassification", "dinov2.encoder.layer.1.mlp.weights_out.bias"),
        ("Dinov2WithRegistersModel", "embeddings.register_tokens"),
        ("CLIPForImageClassification", "vision_model.pre_layrnorm.weight"),
    ],
)
def test_a_missing_tensor_is_named(name, missing, tmp_path):
    saved(name, tmp_path)
    kept = tensors(tmp_path)
    del kept[missing]
    write_safetensors(tmp_path / "model.safetensors", kept)
    with pytest.raises(CheckpointError, match=f"- {missing}: not in the file"):
        from_preset(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mlp_ratio", "4"),
        ("layerscale_value", None),
        ("num_register_tokens", -1),
        ("hidden_size", 0),
    ],
)
def test_a_bad_value_of_dinov2_is_named(field, value):
    with pytest.raises(CheckpointError, match=f"config.json: {field} is {value!r}"):
        huggingface_dinov2.config_from({}, {"model_type": "dinov2", field: value})


def test_dinov2_defaults_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    for kind in ("Dinov2", "Dinov2WithRegisters"):
        theirs = getattr(transformers, f"{kind}Config")()
        stated = {name: value for name, value in theirs.to_dict().items() if value is not None}
        bare = {"model_type": theirs.model_type}
        ours = huggingface_dinov2.config_from({}, bare)
        assert huggingface_dinov2.config_from({}, stated) == ours


def test_pictures_of_deit_are_cropped_from_squashed_ones():
    values = {"size": 256, "crop_size": 224, "do_center_crop": True, "resample": 3}
    image = huggingface_deit.config_from({}, {}, values)["image"]
    assert (image["resize_mode"], image["crop_fraction"]) == ("squash", 224 / 256)


def test_a_clip_classifier_is_known_by_its_tensors():
    config = {"model_type": "clip"}
    assert huggingface_clip_classifier.matches(["classifier.weight"], config)
    whole = ["text_projection.weight", "classifier.weight"]
    assert not huggingface_clip_classifier.matches(whole, config)
    assert not huggingface_clip_classifier.matches(["classifier.weight"], {"model_type": "vit"})


def test_what_no_layout_can_express_is_told_of_the_nearest(tmp_path):
    vit = tiny_vit(num_classes=2, image_size=8, pooling="mean")
    with pytest.raises(CheckpointError, match=r"(?s)as huggingface: its layout.*pooling='mean'"):
        export_checkpoint(vit, tmp_path / "out")
    assert not list(tmp_path.iterdir())
