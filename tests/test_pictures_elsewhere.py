"""What is written for other libraries makes the same pixels there, or is not written.

Pictures here are RGB, their sizes of all kinds. What a library fixes in its code stays its own: on
which side the odd pixel of a margin goes, and when colours are converted.
"""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from tiny_models import ENCODER, tiny_clip, tiny_vit

from keras_clip import CheckpointError, export_checkpoint
from keras_clip.convert.defaults import pictures as pictures_of
from keras_clip.convert.defaults.huggingface import PROCESSORS
from keras_clip.convert.huggingface_images import image_config
from keras_clip.models.clip import CLIP
from keras_clip.models.config import CLIPConfig, TextConfig, ViTConfig
from keras_clip.preprocessing import ImageConfig, ImageProcessor

SIZES = ((8, 8), (8, 12))
TREATMENTS = [
    {"resize_mode": mode, "interpolation": interpolation, "crop_fraction": share, "crop": crop}
    for mode, interpolation, share, crop in itertools.product(
        ("shortest", "squash"), ("bicubic", "bilinear"), (1.0, 0.6), ("openai", "timm")
    )
]
NORMS = ({}, {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.25, 0.125)})
# Margins of 0 to 3 pixels over a multiple of 4, on both sides.
PICTURES = [(31, 45), (45, 31), (8, 8), (64, 64), (23, 90), (9, 200), (34, 35), (57, 33), (13, 12)]
OFFICIAL = {"hidden_dim": 64, "num_heads": 1, "use_patch_bias": False, "activation": "quick_gelu"}
TEXT = {name: OFFICIAL[name] for name in ("hidden_dim", "num_heads", "activation")}


def openai_pixels(path, size):
    """The transform in OpenAI's code, with the size that its builder takes off the tensors."""
    from torchvision import transforms as t

    clip = ImageConfig()
    return t.Compose(
        [
            t.Resize(size[0], interpolation=t.InterpolationMode.BICUBIC),
            t.CenterCrop(size[0]),
            t.ToTensor(),
            t.Normalize(clip.mean, clip.std),
        ]
    )


def transformers_pixels(path, size):
    """transformers' processor on Pillow: that on torchvision rounds a little differently."""
    transformers = pytest.importorskip("transformers")
    kind = json.loads((path / "preprocessor_config.json").read_text())["image_processor_type"]
    kind = getattr(transformers, f"{kind}Pil", None) or getattr(transformers, kind)
    processor = kind.from_pretrained(path)
    return lambda image: processor(image)["pixel_values"][0]


def open_clip_pixels(path, size):
    open_clip = pytest.importorskip("open_clip")
    return open_clip.create_model_and_transforms(f"local-dir:{path}")[2]


def timm_pixels(path, size):
    timm = pytest.importorskip("timm")
    model = timm.create_model(f"local-dir:{path}", pretrained=True)
    return timm.data.create_transform(**timm.data.resolve_model_data_config(model))


def clip(size):
    return tiny_clip(text=TEXT, image_size=size, **OFFICIAL)


def siglip(size):
    encoder = {**ENCODER, "activation": "gelu_tanh"}
    vision = ViTConfig(
        **encoder, patch_size=4, image_size=size, num_prefix_tokens=0, pooling="attention"
    )
    ends = {"pooling": "last", "projection_dim": 8, "use_projection_bias": True}
    text = TextConfig(**encoder, vocabulary_size=70, causal=False, pad_token_id=1, **ends)
    return CLIP(CLIPConfig(vision, text, initial_bias=-10.0))


def vit(size, **changes):
    return tiny_vit(image_size=size, num_classes=3, **changes)


def deit(size):
    return vit(size, num_prefix_tokens=2, use_distillation_head=True)


def dinov2(size):
    return tiny_vit(image_size=size, layer_scale=1.0, num_register_tokens=2, mlp_dim=16)


def classifier(size):
    parts = {"use_patch_bias": False, "use_norm_pre": True, "final_norm": None}
    return vit(size, pooling="mean", **parts)


HUGGINGFACE = ("huggingface", transformers_pixels, ("huggingface", "first"))
# How a model goes out, what treats pictures there, that library's own ways, and how many of the
# treatments it can express: of square pictures, and of others.
FORMATS = {
    "transformers' CLIP": (clip, *HUGGINGFACE, 32, 16),
    "transformers' SigLIP": (siglip, *HUGGINGFACE, 32, 0),
    "transformers' ViT": (vit, *HUGGINGFACE, 32, 16),
    "transformers' DeiT": (deit, *HUGGINGFACE, 32, 16),
    "transformers' DINOv2": (dinov2, *HUGGINGFACE, 32, 16),
    "transformers' classifier": (classifier, *HUGGINGFACE, 32, 16),
    "OpenCLIP": (clip, "open_clip", open_clip_pixels, ("timm", "last"), 16, 10),
    "OpenAI": (clip, "openai", openai_pixels, ("openai", "last"), 2, 0),
    "timm": (vit, "timm", timm_pixels, ("timm", "first"), 32, 24),
}


def with_image(model, image):
    """The model, its pictures treated otherwise."""
    config, vision = model.config, getattr(model.config, "vision", model.config)
    vision = vision.replace(image=dataclasses.replace(image, size=vision.image_size))
    model.config = config.replace(vision=vision) if hasattr(config, "vision") else vision
    return vision.image


def pictures():
    from PIL import Image

    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 256, (*s, 3), dtype="uint8")) for s in PICTURES]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FORMATS)
def test_the_same_pixels_or_a_refusal(name, size, tmp_path):
    pytest.importorskip("torchvision")
    make, form, peer, (crop, color), *expected = FORMATS[name]
    model, written = make(size), 0
    for number, (treatment, norm) in enumerate(itertools.product(TREATMENTS, NORMS)):
        image = with_image(model, ImageConfig(**treatment, **norm))
        path = tmp_path / str(number)
        try:
            export_checkpoint(model, path, form)
        except CheckpointError as error:
            assert "image." in str(error) or "image_size" in str(error) or "square" in str(error)
            assert not path.exists()
            continue
        written += 1
        there = peer(path, size)
        here = ImageProcessor(dataclasses.replace(image, crop=crop, color=color))
        for picture, wanted in zip(pictures(), here(pictures()), strict=True):
            found = np.moveaxis(np.asarray(there(picture)), 0, -1)
            assert found.shape == wanted.shape
            # A level of 255 would be 4e-3; the last bits of float32 are the rest.
            np.testing.assert_allclose(found, wanted, atol=1e-5, err_msg=str((treatment, norm)))
    assert written == expected[size[0] != size[1]]


SETTINGS = (
    {},
    {"resample": 2, "do_normalize": False},
    {"size": 20, "crop_size": 16, "do_center_crop": True},
    {"size": {"height": 24, "width": 20}, "crop_size": [18, 15], "do_center_crop": True},
    {"size": {"height": 24, "width": 20}, "do_center_crop": False},
    {"size": {"shortest_edge": 24}, "crop_size": {"height": 21, "width": 21}, "resample": 3},
)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("values", SETTINGS, ids=str)
@pytest.mark.parametrize("kind", [kind for kind in PROCESSORS if kind != "Siglip2ImageProcessor"])
def test_files_of_transformers_are_read_as_their_class_reads_them(kind, values, named, tmp_path):
    """Fields that are left out, and sizes as older versions wrote them, included."""
    pytest.importorskip("transformers", minversion="5")  # older ones forget how fields were written
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": kind, **values})
    )
    there = transformers_pixels(tmp_path, None)
    own = {**pictures_of.CLIP, "crop": "huggingface", "color": "first"}
    stated = {"image_processor_type": f"{kind}Fast", **values} if named else values
    image = image_config(stated, kind, own)
    for picture in pictures():
        wanted = np.moveaxis(np.asarray(there(picture)), 0, -1)
        crops = image["crop_fraction"] < 1 or image["resize_mode"] == "squash"
        if not crops and wanted.shape[0] != wanted.shape[1]:
            continue  # without a crop, they are as oblong as the picture
        found = ImageProcessor(ImageConfig(size=wanted.shape[:2], **image))(picture)[0]
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image_processor_type": "ConvNextImageProcessor"}, "'ConvNextImageProcessor' is not kno"),
        ({"do_resize": False}, "do_resize=False"),
        ({"do_rescale": False, "rescale_factor": 1 / 127.5}, "do_rescale=False, rescale_factor"),
        ({"do_pad": True}, "do_pad=True"),
        ({"size": {"longest_edge": 30}}, "longest_edge"),
        ({"size": 16, "crop_size": 24}, "not filled up"),
        ({"crop_size": {"height": 24, "width": 12}, "size": 32}, "nor scaled differently"),
    ],
)
def test_what_is_not_done_to_pictures_here_is_refused(values, message):
    with pytest.raises(CheckpointError, match=rf"preprocessor_config\.json: .*{message}"):
        image_config(values, "CLIPImageProcessor", pictures_of.CLIP)
