"""What is exported, other libraries and this one read back, bit for bit."""

import pathlib

import keras
import numpy as np
import pytest
from test_parity import OPEN, REFERENCE
from tiny_models import tiny_clip, tiny_images, tiny_token_ids, tiny_tokenizer, tiny_vit

from keras_clip import CheckpointError, export_checkpoint, from_preset
from keras_clip.convert import open_checkpoint, openai
from keras_clip.identification import identify
from keras_clip.models.weights import named_weights
from keras_clip.sources import find

FIXTURES = pathlib.Path(__file__).parent / "fixtures" / "parity"
FORMATS = {
    "openai_clip.pt": ("openai", "copy.pt"),
    "huggingface_clip": ("huggingface", "copy"),
    "huggingface_vit": ("huggingface", "copy"),
    "open_clip_mean": ("open_clip", "copy"),
    "open_clip_bias": ("open_clip", "copy"),
    "open_clip_resnet": ("open_clip", "copy"),
    "google_vit.npz": ("google", "copy.npz"),
}
# Counters, and what OpenAI's archives say of the model.
NO_WEIGHTS = ("num_batches_tracked", *openai.MARKS)
SQUARE = {"image_size": 8, "use_patch_bias": False}
# As transformers and OpenAI's code see a CLIP.
OFFICIAL = {**SQUARE, "activation": "quick_gelu"}


def shaken(model):
    """The model with all weights different from 0 and 1."""
    random = np.random.default_rng(0)
    for weight in named_weights(model).values():
        weight.assign(0.3 * random.standard_normal(weight.shape).astype("float32") + 0.5)
    return model


def arrays(model):
    return {n: keras.ops.convert_to_numpy(v.value) for n, v in named_weights(model).items()}


def assert_same(one, other):
    first, second = arrays(one), arrays(other)
    assert set(first) == set(second)
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def tensors(path):
    with open_checkpoint(path) as checkpoint:
        return {name: checkpoint[name].read() for name in checkpoint}


@pytest.mark.parametrize("name", FORMATS)
def test_read_write_read_is_exact(name, tmp_path):
    form, copy = FORMATS[name]
    model = from_preset(FIXTURES / name)
    export_checkpoint(model, tmp_path / copy, form)
    again = from_preset(tmp_path / copy)
    assert_same(model, again)
    assert again.config == model.config


@pytest.mark.parametrize("name", FORMATS)
def test_the_file_is_what_it_was_in_its_own_dtype(name, tmp_path):
    form, copy = FORMATS[name]
    stored = tensors(FIXTURES / name)
    dtype = "float16" if any(v.dtype == "float16" for v in stored.values()) else None
    export_checkpoint(from_preset(FIXTURES / name), tmp_path / copy, form, dtype)
    written = tensors(tmp_path / copy)
    stored = {n: v for n, v in stored.items() if not n.endswith(NO_WEIGHTS)}
    assert set(written) == set(stored)
    for tensor, values in stored.items():
        assert written[tensor].dtype == values.dtype, tensor
        np.testing.assert_array_equal(written[tensor], values, err_msg=tensor)


@pytest.mark.parametrize("name", [n for n in REFERENCE if not n.startswith("npz/siglip")])
def test_reference_checkpoints_go_out_as_they_came(name, reference, tmp_path):
    source = find(str(reference / name))
    with open_checkpoint(source.file) as checkpoint:
        plan = identify(checkpoint, source, *OPEN.get(name, {}).values())
        stored = {n: checkpoint[n].read() for n in plan.sources(checkpoint)}
    form = plan.layout.split("_")[0] if plan.layout != "open_clip" else "open_clip"
    halves = {values.dtype.name for values in stored.values()} - {"float32"}
    copy = tmp_path / {"openai": "copy.pt", "google": "copy.npz"}.get(form, "copy")
    given = OPEN.get(name, {})
    export_checkpoint(from_preset(reference / name, **given), copy, form, *halves)
    written = tensors(copy)
    for tensor, values in stored.items():
        # Norms and embeddings are float32 in OpenAI's half precision, whatever the other half is.
        assert written[tensor].dtype == values.dtype or (form == "openai" and "bf16" in name)
        np.testing.assert_array_equal(written[tensor], values, err_msg=tensor)
    assert from_preset(copy).config == from_preset(reference / name, **given).config


def test_transformers_reads_an_exported_clip(tmp_path):
    transformers = pytest.importorskip("transformers")
    import torch

    clip = shaken(tiny_clip(tokenizer=tiny_tokenizer(), **SQUARE))
    export_checkpoint(clip, tmp_path / "clip")
    theirs = transformers.CLIPModel.from_pretrained(tmp_path / "clip").eval()
    images, ids = tiny_images(2)[:, :, :8], tiny_token_ids(3)
    with torch.no_grad():
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
        out = theirs(input_ids=torch.from_numpy(ids).long(), pixel_values=pixels)
    ours = clip({"images": images, "token_ids": ids})
    for name, wanted in (
        ("image_embeddings", out.image_embeds),
        ("text_embeddings", out.text_embeds),
        ("logits", out.logits_per_image),
    ):
        found = keras.ops.convert_to_numpy(ours[name])
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5 * float(wanted.abs().max()))
    assert from_preset(tmp_path / "clip").tokenizer("a red circle").tolist() == (
        clip.tokenizer("a red circle").tolist()
    )


def test_transformers_reads_an_exported_vit(tmp_path):
    transformers = pytest.importorskip("transformers")
    import torch

    vit = shaken(
        tiny_vit(num_classes=3, labels=("ant", "bee", "cat"), image_size=8, head_activation=None)
    )
    export_checkpoint(vit, tmp_path / "vit")
    theirs = transformers.ViTForImageClassification.from_pretrained(tmp_path / "vit").eval()
    images = tiny_images(2)[:, :, :8]
    with torch.no_grad():
        wanted = theirs(torch.from_numpy(images).permute(0, 3, 1, 2)).logits.numpy()
    found = keras.ops.convert_to_numpy(vit(images))
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())
    assert theirs.config.id2label == {0: "ant", 1: "bee", 2: "cat"}


def test_pytorch_reads_an_exported_state_dict(tmp_path):
    torch = pytest.importorskip("torch")
    export_checkpoint(from_preset(FIXTURES / "openai_clip.pt"), tmp_path / "clip.pt", "openai")
    written = torch.load(tmp_path / "clip.pt", weights_only=True)
    stored = torch.load(FIXTURES / "openai_clip.pt", weights_only=True)
    assert set(written) == set(stored) - set(openai.MARKS)
    assert all(torch.equal(written[name], stored[name].float()) for name in written)


@pytest.mark.parametrize(
    ("form", "changes", "message"),
    [
        ("openai", OFFICIAL, "do not tell heads"),
        (
            "huggingface",
            {**SQUARE, "use_norm_pre": False},
            r"vision\.norm_pre/gamma|norm_pre/gamma",
        ),
        ("huggingface", {"image_size": 8}, r"patch_embedding/bias"),
        ("huggingface", {**SQUARE, "pooling": "mean"}, r"vision\.pooling='mean'"),
        ("huggingface", {**SQUARE, "num_prefix_tokens": 2}, "num_prefix_tokens=2"),
    ],
)
def test_a_model_that_the_layout_cannot_express(form, changes, message, tmp_path):
    with pytest.raises(CheckpointError, match=rf"(?s)cannot be written as {form}.*{message}"):
        export_checkpoint(tiny_clip(**changes), tmp_path / "out", form)
    assert not list(tmp_path.iterdir())


def test_other_numbers_are_never_written(tmp_path):
    vit = tiny_vit(num_classes=2, image_size=8, activation="gelu")
    with pytest.raises(CheckpointError, match=r"(?s)'gelu' would be read as 'gelu_tanh'.*\nLoaded"):
        export_checkpoint(vit, tmp_path / "vit.npz", "google")
    text = {"pooling": "end_token", "end_token_id": 5}
    export_checkpoint(tiny_clip(**SQUARE, text=text), tmp_path / "clip")
    assert from_preset(tmp_path / "clip").config.text.end_token_id == 5


def test_formats_and_places_are_checked(tmp_path):
    with pytest.raises(ValueError, match=r"A vit is written as .*not as 'openai'"):
        export_checkpoint(tiny_vit(), tmp_path / "a", "openai")
    with pytest.raises(ValueError, match="not as 'onnx'"):
        export_checkpoint(tiny_vit(), tmp_path / "a", "onnx")
    with pytest.raises(ValueError, match="is a directory"):
        export_checkpoint(from_preset(FIXTURES / "google_vit.npz"), tmp_path, "google")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file"):
        export_checkpoint(tiny_clip(**SQUARE), tmp_path / "file")


def test_presets_are_a_format_too(tmp_path):
    vit = shaken(tiny_vit(num_classes=2))
    export_checkpoint(vit, tmp_path / "vit", "keras")
    assert_same(vit, from_preset(tmp_path / "vit"))
