"""Models loaded from official layouts give the reference implementations' numbers.

The checkpoints and their answers are the small ones of `fixtures/parity` and, where it is, those of
the reference data, which the official code itself has written.
"""

import json
import pathlib

import keras
import numpy as np
import pytest

from keras_clip import CheckpointError, from_preset

FIXTURES = pathlib.Path(__file__).parent / "fixtures" / "parity"
TOLERANCE = 1e-5  # of the largest value; float32 itself is good for 3e-6

COMMITTED = {
    "openai_clip.pt": "openai_clip_expected.npz",
    "huggingface_clip": "huggingface_clip_expected.npz",
    "huggingface_vit": "huggingface_vit_expected.npz",
    "open_clip_mean": "open_clip_mean_expected.npz",
    "open_clip_bias": "open_clip_bias_expected.npz",
    "open_clip_resnet": "open_clip_resnet_expected.npz",
    "google_vit.npz": "google_vit_expected.npz",
    "keras_hub_clip": "keras_hub_clip_expected.npz",
}
REFERENCE = {
    "openai/clip_vit_jit_fp16.pt": "openai/clip_vit.npz",
    "openai/clip_vit_state_dict_fp16.pt": "openai/clip_vit.npz",
    "openai/clip_vit_state_dict_fp16_legacy.pt": "openai/clip_vit.npz",
    "openai/clip_vit_small_bf16.pt": "openai/clip_vit_small.npz",
    "openai/clip_vit_small_training_checkpoint.pt": "openai/clip_vit_small.npz",
    "openai/clip_resnet_jit_fp16.pt": "openai/clip_resnet.npz",
    "hf/clip_base": "hf/clip_base.npz",
    "hf/clip_hub_style": "hf/clip_hub_style.npz",
    "hf/clip_sharded_fp16": "hf/clip_sharded_fp16.npz",
    "hf/clip_bin": "hf/clip_bin.npz",
    "hf/vit_classification": "hf/vit_classification.npz",
    "hf/vit_no_pooler": "hf/vit_no_pooler.npz",
    "hf/vit_pooler": "hf/vit_pooler.npz",
    "open_clip/clip_gelu": "open_clip/clip_gelu.npz",
    "open_clip/clip_quickgelu": "open_clip/clip_quickgelu.npz",
    "open_clip/custom_text": "open_clip/custom_text.npz",
    "hf/siglip": "hf/siglip.npz",
    "hf/siglip2_naflex_bf16": "hf/siglip2_naflex_bf16.npz",
    "hf/deit_distilled": "hf/deit_distilled.npz",
    "hf/dinov2": "hf/dinov2.npz",
    "hf/dinov2_registers": "hf/dinov2_registers.npz",
    "hf/clip_classification": "hf/clip_classification.npz",
    "npz/siglip.npz": "npz/siglip_expected.npz",
    "npz/siglip_stacked_bf16.npz": "npz/siglip_expected.npz",
    "npz/vit.npz": "npz/vit_expected.npz",
    "npz/vit_pre_logits.npz": "npz/vit_pre_logits_expected.npz",
}
# What these files leave open; the archives are OpenAI's own, and leave nothing.
OPENAI = {"config": {"quick_gelu": True, "head_width": 64, "eos_id": None}}
OPEN = {
    **{f"openai/clip_vit_state_dict_fp16{legacy}.pt": OPENAI for legacy in ("", "_legacy")},
    **{f"openai/clip_vit_small_{kind}.pt": OPENAI for kind in ("bf16", "training_checkpoint")},
}
INPUTS = {"images", "token_ids", "images_large", "attention_mask", "patches", "spatial_shapes"}
INPUTS |= {"pixel_attention_mask", "image_0", "image_1"}
# A padding mask is the caller's in transformers; its pooler feeds nothing.
UNUSED = {"text_last_hidden_state_masked", "pooler_output"}


def block(tower):
    """Name of the last layer before the final norm, or before the attention pool of a ResNet."""
    ends = [x.name for x in tower.layers if x.name.startswith(("block_", "stage_"))]
    return ends[-1]


def outputs_inside(tower, layers, inputs):
    """What layers of a tower give, by the names asked for: {name: layer} -> {name: array}."""
    present = {layer.name for layer in tower.layers}
    outputs = {n: tower.get_layer(layer).output for n, layer in layers.items() if layer in present}
    return keras.Model(tower.input, outputs).predict_on_batch(inputs)


def clip_outputs(clip, images, token_ids):
    """Every intermediate that some reference gives, by its name there."""
    vision, text = clip.get_layer("vision"), clip.get_layer("text")
    logits = clip.predict_on_batch({"images": images, "token_ids": token_ids})["logits"]
    # SiglipModel's last hidden state is behind the norm, CLIPModel's before it.
    pools = getattr(clip.config.vision, "pooling", None) == "attention"
    of_images = {
        "image_embeddings": vision.layers[-1].name,
        "vision_tokens_before_ln_post": block(vision),
        "vision_feature_map_before_attnpool": block(vision),
        "vision_last_hidden_state": "norm" if pools else block(vision),
        "vision_pooler_output": "pooling",
        "vision_tokens_after_encoder_norm": "norm",
    }
    of_texts = {
        "text_embeddings": text.layers[-1].name,
        "text_tokens_before_ln_final": block(text),
        "text_last_hidden_state": "norm",
        "text_pooler_output": "pooling",
    }
    return {
        "logits_per_image": logits,
        "logits_per_text": logits.T,
        **outputs_inside(vision, of_images, images),
        **outputs_inside(text, of_texts, token_ids),
    }


def naflex_images(answers):
    return {"patches": answers["patches"], "grid_sizes": answers["spatial_shapes"]}


def vit_outputs(vit, images):
    last = "norm" if vit.config.final_norm else block(vit)
    layers = {
        "logits": vit.layers[-1].name,
        "cls_logits": "head",
        "distillation_logits": "head_distillation",
        "last_hidden_state": last,
        "encoded_tokens": last,
    }
    return outputs_inside(vit, layers, images)


def outputs_at_other_settings(path, answers, given):
    """Outputs of the same checkpoint loaded in another way."""
    large = [name for name in answers if name.endswith("_large") and name not in INPUTS]
    outputs = {}
    for name in large:
        images = answers["images_large"]
        settings = {"head_activation": None} if name == "logits_large" else {}
        model = from_preset(path, image_size=images.shape[1:3], **settings, **given)
        embeds = name == "image_embeddings_large"
        outputs[name] = (model.get_layer("vision") if embeds else model).predict_on_batch(images)
    if "logits_erf_gelu" in answers:
        vit = from_preset(path, activation="gelu", head_activation=None)
        found = vit_outputs(vit, answers["images"])
        outputs |= {f"{name}_erf_gelu": found[name] for name in ("logits", "encoded_tokens")}
    return outputs


def difference(found, wanted):
    """Largest difference as a share of the largest value."""
    assert found.shape == wanted.shape
    return np.abs(found - wanted).max() / np.abs(wanted).max()


def differences(path, answers_path, **given):
    with np.load(answers_path) as file:
        answers = dict(file)
    if "token_ids" in answers:
        images = answers["images"] if "images" in answers else naflex_images(answers)
        outputs = clip_outputs(from_preset(path, **given), images, answers["token_ids"])
        if "pixel_attention_mask" in answers:  # the reference zeroes what stands for no patch
            mask = answers["pixel_attention_mask"][..., None]
            outputs["vision_last_hidden_state"] = outputs["vision_last_hidden_state"] * mask
    else:
        settings = {"head_activation": None} if "logits" in answers else {}
        outputs = vit_outputs(from_preset(path, **settings), answers["images"])
    outputs |= outputs_at_other_settings(path, answers, given)
    return {
        name: difference(outputs[name], wanted)
        for name, wanted in answers.items()
        if name not in INPUTS | UNUSED
    }


def check(path, answers_path, **given):
    found = differences(path, answers_path, **given)
    assert len(found) >= 1
    wrong = {name: f"{value:.1e}" for name, value in found.items() if not value < TOLERANCE}
    assert not wrong


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_checkpoints(name):
    check(FIXTURES / name, FIXTURES / COMMITTED[name])


@pytest.mark.parametrize("name", REFERENCE)
def test_reference_checkpoints(name, reference):
    check(reference / name, reference / REFERENCE[name], **OPEN.get(name, {}))


@pytest.mark.parametrize("name", OPEN)
def test_what_a_bare_file_leaves_open_is_asked_for(name, reference):
    with pytest.raises(CheckpointError, match=r"quick_gelu, head_width, eos_id.*config=\{'quick"):
        from_preset(reference / name)


UNFIT = ("missing_key", "extra_key", "wrong_shape", "nan_weights", "bad_config")


@pytest.mark.parametrize("name", UNFIT)
def test_checkpoints_that_do_not_fit(name, reference):
    items = json.loads((reference / "broken" / "manifest.json").read_text())["items"]
    (words,) = (item["error_should_mention"] for item in items if item["file"] == name)
    with pytest.raises(CheckpointError) as caught:
        from_preset(reference / "broken" / name)
    assert name in str(caught.value) and any(word in str(caught.value) for word in words)
