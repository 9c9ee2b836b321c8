"""SigLIP 2 NaFlex: pictures of any proportions give transformers' numbers, and come back."""

import importlib.util
import pathlib

import keras
import numpy as np
import pytest
from PIL import Image

from keras_clip import CheckpointError, export_checkpoint, from_preset
from keras_clip.convert import open_checkpoint
from keras_clip.models.attention_maps import attention_maps
from keras_clip.preprocessing.naflex_images import NaFlexImageConfig

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

TOLERANCE = 1e-5
SHARED = {"num_hidden_layers": 2, "hidden_size": 24, "intermediate_size": 32}
CONFIG = {
    "vision_config": {**SHARED, "num_attention_heads": 3, "num_patches": 16, "patch_size": 4},
    "text_config": {
        **SHARED,
        **{"num_attention_heads": 2, "vocab_size": 70, "max_position_embeddings": 9},
        **{"projection_size": 24, "pad_token_id": 0},
    },
}
MAX_PATCHES = 12
SIZES = ((40, 30), (7, 90), (33, 33), (300, 9), (4, 4))


def load_makers():
    path = pathlib.Path(__file__).parent / "fixtures" / "make_parity.py"
    spec = importlib.util.spec_from_file_location("makers", path)
    makers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(makers)
    return makers


@pytest.fixture(scope="module")
def theirs():
    model = transformers.Siglip2Model(transformers.Siglip2Config(**CONFIG))
    return load_makers().randomized(model, 0)


@pytest.fixture(scope="module")
def processor():
    kind = pytest.importorskip("transformers.models.siglip2.image_processing_pil_siglip2")
    return kind.Siglip2ImageProcessorPil(patch_size=4, max_num_patches=MAX_PATCHES)


@pytest.fixture(scope="module")
def folder(theirs, processor, tmp_path_factory):
    path = tmp_path_factory.mktemp("naflex") / "repository"
    theirs.save_pretrained(path)
    processor.save_pretrained(path)
    return path


@pytest.fixture
def clip(folder):
    return from_preset(folder)


def pictures():
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 256, (*size, 3), "uint8")) for size in SIZES]


def token_ids():
    return np.random.default_rng(1).integers(0, 70, (3, 9)).astype("int32")


def answers(model, processed, ids):
    with torch.no_grad():
        out = model(input_ids=torch.from_numpy(ids).long(), **processed)
    return [getattr(out, f"{n}_embeds").numpy() for n in ("image", "text")], out.logits_per_image


def assert_close(found, wanted):
    found, wanted = (keras.ops.convert_to_numpy(x) for x in (found, wanted))
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < TOLERANCE * np.abs(wanted).max()


def test_pictures_become_the_patches_of_transformers(processor, clip):
    wanted = processor(pictures(), return_tensors="np")
    found = clip.image_processor(pictures())
    np.testing.assert_array_equal(found["grid_sizes"], wanted["spatial_shapes"])
    np.testing.assert_allclose(found["patches"], wanted["pixel_values"], atol=3e-7)
    counts = found["grid_sizes"].prod(axis=1)
    assert set(counts) <= set(range(1, MAX_PATCHES + 1)) and len(set(counts)) > 1


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (480, 640), (641, 479), (16, 4096), (2, 3)])
@pytest.mark.parametrize("most", [1, 256, 1024])
def test_grids_are_those_of_transformers(size, most):
    module = pytest.importorskip("transformers.models.siglip2.image_processing_pil_siglip2")
    wanted = module.get_image_size_for_max_num_patches(*size, 16, most)
    assert NaFlexImageConfig(max_patches=most).grid(*size) == tuple(n // 16 for n in wanted)


def test_numbers_are_those_of_transformers(theirs, processor, clip):
    images = clip.image_processor(pictures())
    (image, text), logits = answers(theirs, processor(pictures(), return_tensors="pt"), token_ids())
    for outputs in (
        clip({"images": images, "token_ids": token_ids()}),
        clip.predict({"images": images, "token_ids": token_ids()}, batch_size=2, verbose=0),
    ):
        assert_close(outputs["image_embeddings"], image)
        assert_close(outputs["text_embeddings"], text)
        assert_close(outputs["logits"], logits)
    assert_close(clip.embed_images(pictures(), batch_size=2), image)


def test_what_fills_a_sequence_up_changes_nothing(clip):
    images = clip.image_processor(pictures())
    expected = keras.ops.convert_to_numpy(clip.encode_image(images))
    for row, grid in zip(images["patches"], images["grid_sizes"], strict=True):
        row[grid.prod() :] = 1e3
    assert_close(clip.encode_image(images), expected)
    longer = np.pad(images["patches"], ((0, 0), (0, 7), (0, 0)))
    assert_close(clip.encode_image({**images, "patches": longer}), expected)
    maps = attention_maps(clip.get_layer("vision"), images)
    for of_picture, grid in zip(maps.swapaxes(0, 1), images["grid_sizes"], strict=True):
        assert (of_picture[..., grid.prod() :] == 0).all()


def test_exported_is_bit_for_bit_what_was_read(theirs, folder, clip, tmp_path):
    export_checkpoint(clip, tmp_path / "copy")
    with open_checkpoint(folder) as stored, open_checkpoint(tmp_path / "copy") as written:
        assert set(stored) == set(written)
        for name in stored:
            np.testing.assert_array_equal(written[name].read(), stored[name].read(), err_msg=name)
    again = transformers.Siglip2Model.from_pretrained(tmp_path / "copy").eval()
    for config in ("vision_config", "text_config"):
        first, second = (getattr(m.config, config).to_dict() for m in (theirs, again))
        for field in ("hidden_act", "layer_norm_eps", "num_attention_heads", "patch_size"):
            assert first.get(field) == second.get(field)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "copy", backend="pil")
    inputs = processor(pictures(), return_tensors="pt")
    first, second = (answers(model, inputs, token_ids())[1] for model in (theirs, again))
    np.testing.assert_array_equal(first, second)
    assert from_preset(tmp_path / "copy").config == clip.config


@pytest.mark.parametrize(
    "changes",
    [{"interpolation": "bicubic"}, {"max_patches": 9}, {"mean": (0.1, 0.2, 0.3), "std": (1, 2, 3)}],
)
def test_exported_pictures_are_those_of_transformers(processor, folder, changes, tmp_path):
    clip = from_preset(folder, vision={"image": changes})
    export_checkpoint(clip, tmp_path / "copy")
    there = type(processor).from_pretrained(tmp_path / "copy")
    wanted, found = there(pictures(), return_tensors="np"), clip.image_processor(pictures())
    np.testing.assert_array_equal(found["grid_sizes"], wanted["spatial_shapes"])
    np.testing.assert_allclose(found["patches"], wanted["pixel_values"], atol=1e-6)


def test_other_layouts_say_that_they_have_no_place_for_it(clip, tmp_path):
    for layout in ("open_clip", "openai"):
        with pytest.raises(CheckpointError, match="no naflex image tower"):
            export_checkpoint(clip, tmp_path / "out", layout)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["preset", "keras"])
def test_saved_and_loaded(form, clip, tmp_path):
    images = clip.image_processor(pictures())
    if form == "preset":
        clip.save_to_preset(tmp_path / "preset")
        again = from_preset(tmp_path / "preset")
        tower = from_preset(tmp_path / "preset", tower="vision")
        assert_close(tower(images), clip.encode_image(images))
    else:
        clip.save(tmp_path / "clip.keras")
        again = keras.saving.load_model(tmp_path / "clip.keras")
    assert again.config == clip.config
    assert_close(again.encode_image(images), clip.encode_image(images))


def test_trains_and_classifies(clip):
    images = clip.image_processor(pictures()[:3])
    pairs = {"images": images, "token_ids": token_ids()}
    before = clip.get_layer("vision").get_layer("position_embedding").embeddings.numpy().copy()
    clip.compile(keras.optimizers.SGD(0.01))
    loss = clip.fit(pairs, batch_size=3, verbose=0).history["loss"][0]
    assert np.isfinite(loss) and loss > 0
    after = clip.get_layer("vision").get_layer("position_embedding").embeddings.numpy()
    assert not np.array_equal(before, after)
    with pytest.raises(ValueError, match="at least 2 image-text pairs"):
        clip.fit({"images": {n: x[:1] for n, x in images.items()}, "token_ids": token_ids()[:1]})


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy, folder, clip):
    images = clip.image_processor(pictures())
    expected = clip.embed_images(pictures())
    mixed = from_preset(folder, dtype=policy)
    assert np.abs(mixed.embed_images(pictures()) - expected).max() < 3e-2
    output = mixed.get_layer("vision")(images)
    assert keras.backend.standardize_dtype(output.dtype) == policy.removeprefix("mixed_")


def test_a_number_of_patches_is_chosen_and_a_size_is_refused(folder):
    clip = from_preset(folder, vision={"image": {"max_patches": 30}})
    assert clip.image_processor(pictures())["patches"].shape == (len(SIZES), 30, 48)
    with pytest.raises(ValueError, match="max_patches"):
        from_preset(folder, image_size=64)
