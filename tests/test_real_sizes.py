"""Each family at the size of a published model, with random weights, against its library."""

import json

import numpy as np
import pytest

from keras_clip.command.verify import TOLERANCE, verify

pytestmark = pytest.mark.slow


def spread(model):
    """The model, its biases, gains and running statistics away from where they start."""
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if value.ndim == 1 and value.is_floating_point():
                noise = torch.empty_like(value).normal_(generator=generator)
                value.add_(noise.abs_() if "var" in name else noise, alpha=0.1)
    return model.eval()


def transformers_model(name, folder, **config):
    transformers = pytest.importorskip("transformers")
    kind = getattr(transformers, name)
    spread(kind(kind.config_class(**config))).save_pretrained(folder)


def open_clip_model(name, folder):
    open_clip = pytest.importorskip("open_clip")
    import safetensors.torch

    model = spread(open_clip.create_model(name))
    tensors = {n: value.contiguous() for n, value in model.state_dict().items()}
    safetensors.torch.save_file(tensors, folder / "open_clip_model.safetensors")
    config = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))


def timm_model(name, folder):
    timm = pytest.importorskip("timm")
    timm.models.save_for_hf(spread(timm.create_model(name)), folder, safe_serialization=True)


LARGE = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16}
L14 = {
    "vision_config": {**LARGE, "num_hidden_layers": 24, "patch_size": 14, "image_size": 336},
    "text_config": {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12},
    "projection_dim": 768,
}
MODELS = {
    "ViT-B/32": (transformers_model, "CLIPModel", {}),
    "ViT-L/14@336": (transformers_model, "CLIPModel", L14),
    "MetaCLIP 2, B/32": (
        transformers_model,
        "MetaClip2Model",
        {"text_config": {"eos_token_id": 2}},
    ),
    "RN50": (open_clip_model, "RN50-quickgelu", {}),
    "CLIPA, L/14": (open_clip_model, "ViT-L-14-CLIPA", {}),
    "SigLIP, B/16": (transformers_model, "SiglipModel", {}),
    "SigLIP in OpenCLIP, B/16": (open_clip_model, "ViT-B-16-SigLIP", {}),
    "SigLIP 2 NaFlex, B/16": (transformers_model, "Siglip2Model", {}),
    "ViT-B/16": (transformers_model, "ViTForImageClassification", {"num_labels": 1000}),
    "DeiT-B/16, distilled": (
        transformers_model,
        "DeiTForImageClassificationWithTeacher",
        {"num_labels": 1000},
    ),
    "DINOv2-B/14, registers": (
        transformers_model,
        "Dinov2WithRegistersModel",
        {"image_size": 518, "patch_size": 14},
    ),
    "ViT-M/16 in timm, registers": (timm_model, "vit_medium_patch16_reg4_gap_256", {}),
}


def differences(name, folder):
    """{output: difference as a share of the largest value}."""
    make, kind, config = MODELS[name]
    make(kind, folder, **config)
    report = verify(str(folder))
    assert report["library"], report["why_not"]
    return report["differences"]


@pytest.mark.parametrize("name", MODELS)
def test_numbers_are_those_of_the_library(name, tmp_path):
    np.random.seed(0)
    found = differences(name, tmp_path)
    assert found and max(found.values()) < TOLERANCE, found
