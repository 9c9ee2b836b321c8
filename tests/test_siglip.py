"""SigLIP from transformers and big_vision gives their numbers, and comes back whole."""

import importlib.util
import pathlib

import keras
import numpy as np
import pytest
import tokenizer_makers as files

from keras_clip import CheckpointError, export_checkpoint, from_preset
from keras_clip.convert import huggingface_siglip, open_checkpoint, write_npz
from keras_clip.convert.big_vision import table
from keras_clip.convert.table import write
from keras_clip.models.config import CLIPConfig
from keras_clip.models.weights import named_weights

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

TOLERANCE = 1e-5
SHARED = {"num_hidden_layers": 2, "layer_norm_eps": 1e-5}
VISION = {
    **SHARED,
    **{"hidden_size": 20, "intermediate_size": 28, "num_attention_heads": 5},
    **{"image_size": 24, "patch_size": 8},
}
TEXT = {
    **SHARED,
    **{"hidden_size": 24, "intermediate_size": 32, "num_attention_heads": 3, "hidden_act": "gelu"},
    **{"vocab_size": 70, "max_position_embeddings": 12, "projection_size": 20},
    **{"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 1},
}
LABELS = ["cat", "dog", "red car"]


def load_makers():
    path = pathlib.Path(__file__).parent / "fixtures" / "make_parity.py"
    spec = importlib.util.spec_from_file_location("makers", path)
    makers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(makers)
    return makers


def randomized(model):
    """All weights far from where they start, the bias of the logits too."""
    model = load_makers().randomized(model, 0)
    with torch.no_grad():
        model.logit_bias.fill_(-2.5)
    return model


@pytest.fixture(scope="module")
def theirs():
    config = transformers.SiglipConfig(vision_config=VISION, text_config=TEXT)
    return randomized(transformers.SiglipModel(config))


@pytest.fixture(scope="module")
def folder(theirs, tmp_path_factory):
    path = tmp_path_factory.mktemp("siglip") / "repository"
    theirs.save_pretrained(path)
    settings = {"tokenizer_class": "SiglipTokenizer", "pad_token": "</s>", "eos_token": "</s>"}
    return files.write(path, files.unigram(), **settings)


@pytest.fixture
def clip(folder):
    return from_preset(folder)


def inputs(height=24, width=24):
    random = np.random.default_rng(0)
    images = random.standard_normal((2, height, width, 3)).astype("float32")
    return images, random.integers(0, 70, (3, 12)).astype("int32")


def answers(model, images, token_ids, **settings):
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    with torch.no_grad():
        out = model(torch.from_numpy(token_ids).long(), pixels, **settings)
    names = ("image_embeds", "text_embeds", "logits_per_image")
    return [getattr(out, name).numpy() for name in names]


def assert_close(found, wanted):
    found = keras.ops.convert_to_numpy(found)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < TOLERANCE * np.abs(wanted).max()


def assert_same(one, other):
    first, second = arrays(one), arrays(other)
    assert set(first) == set(second)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def arrays(model):
    return {n: keras.ops.convert_to_numpy(v.value) for n, v in named_weights(model).items()}


@pytest.mark.parametrize("size", [(24, 24), (32, 48)])
def test_numbers_are_those_of_transformers(theirs, folder, size):
    clip = from_preset(folder, image_size=size)
    images, token_ids = inputs(*size)
    found = clip({"images": images, "token_ids": token_ids})
    settings = {"interpolate_pos_encoding": True} if size != (24, 24) else {}
    wanted = answers(theirs, images, token_ids, **settings)
    for name, value in zip(("image_embeddings", "text_embeddings", "logits"), wanted, strict=True):
        assert_close(found[name], value)
    predicted = clip.predict({"images": images, "token_ids": token_ids}, verbose=0)
    assert_close(predicted["logits"], wanted[-1])


def test_one_tower_alone(theirs, folder):
    images, token_ids = inputs()
    wanted = answers(theirs, images, token_ids)
    for tower, given, value in zip(("vision", "text"), (images, token_ids), wanted, strict=False):
        model = from_preset(folder, tower=tower)
        found = keras.ops.convert_to_numpy(model(given))
        assert_close(found / np.linalg.norm(found, axis=-1, keepdims=True), value)


def test_exported_is_bit_for_bit_what_was_read(theirs, folder, clip, tmp_path):
    export_checkpoint(clip, tmp_path / "copy")
    with open_checkpoint(folder) as stored, open_checkpoint(tmp_path / "copy") as written:
        assert set(stored) == set(written)
        for name in stored:
            np.testing.assert_array_equal(written[name].read(), stored[name].read(), err_msg=name)
    again = transformers.SiglipModel.from_pretrained(tmp_path / "copy").eval()
    for found, wanted in zip(answers(again, *inputs()), answers(theirs, *inputs()), strict=True):
        np.testing.assert_array_equal(found, wanted)
    back = from_preset(tmp_path / "copy")
    assert back.config == clip.config
    assert back.tokenizer.get_config() == clip.tokenizer.get_config()
    assert_same(back, clip)


def test_a_preset_keeps_every_flag(clip, tmp_path):
    config = clip.config
    assert (config.initial_bias, config.initial_scale, config.max_scale) == (-10.0, 10.0, None)
    assert (config.vision.pooling, config.vision.projection_dim) == ("attention", None)
    assert (config.vision.activation, config.text.activation) == ("gelu_tanh", "gelu")
    assert (config.vision.epsilon, config.text.epsilon) == (1e-5, 1e-5)
    assert (config.text.pooling, config.text.causal, config.text.pad_token_id) == ("last", False, 1)
    image = config.vision.image
    assert (image.resize_mode, image.interpolation, image.mean) == ("squash", "bicubic", (0.5,) * 3)
    clip.save_to_preset(tmp_path / "preset")
    again = from_preset(tmp_path / "preset")
    assert again.config == config
    assert_same(again, clip)
    texts = ["a photo of a cat.", "the red car " * 9]
    np.testing.assert_array_equal(again.tokenizer(texts), clip.tokenizer(texts))


def test_the_keras_file_keeps_the_tokenizer(clip, tmp_path):
    clip.save(tmp_path / "clip.keras")
    again = keras.saving.load_model(tmp_path / "clip.keras")
    assert again.tokenizer.get_config() == clip.tokenizer.get_config()
    np.testing.assert_array_equal(again.tokenizer(LABELS), clip.tokenizer(LABELS))


def test_zero_shot_probabilities_are_sigmoids(theirs, clip):
    images, _ = inputs()
    token_ids = clip.tokenizer([f"a photo of a {label}." for label in LABELS])
    assert (token_ids[:, -1] == 1).all()
    wanted = torch.sigmoid(torch.from_numpy(answers(theirs, images, token_ids)[-1])).numpy()
    assert_close(clip.zero_shot_classifier(LABELS)(images), wanted)


def test_fit_minimises_the_sigmoid_loss(theirs, clip):
    images, token_ids = inputs()
    logits = answers(theirs, images, token_ids[:2])[-1].astype("float64")
    signs = 2 * np.eye(2) - 1
    wanted = np.mean(np.sum(np.log1p(np.exp(-signs * logits)), axis=1))
    before = arrays(clip)
    clip.compile(keras.optimizers.SGD(0.01))
    history = clip.fit({"images": images, "token_ids": token_ids[:2]}, epochs=1, verbose=0)
    np.testing.assert_allclose(history.history["loss"], [wanted], rtol=1e-5)
    after = arrays(clip)
    for name in ("logit_scale/bias", "vision/pooling/probe", "text/projection/bias"):
        assert not np.array_equal(before[name], after[name]), name


@pytest.mark.parametrize("stack", [False, True])
@pytest.mark.parametrize("prefix", ["params/", ""])
def test_big_vision_apart_and_stacked(clip, tmp_path, stack, prefix):
    # What the layout cannot say is as big_vision has it.
    changes = {tower: {"activation": "gelu_tanh", "epsilon": 1e-6} for tower in ("vision", "text")}
    tensors = write(table(clip.config.to_dict()), arrays(clip))
    tensors = {prefix + n.removeprefix("params/"): make() for n, make in tensors.items()}
    for i in range(2 if stack else 0):
        for name in [n for n in tensors if f"encoderblock_{i}/" in n]:
            stacked = name.replace(f"encoderblock_{i}/", "encoderblock/")
            tensors.setdefault(stacked, []).append(tensors.pop(name))
    write_npz(tmp_path / "siglip.npz", {n: np.asarray(v) for n, v in tensors.items()})
    found = from_preset(tmp_path / "siglip.npz")
    assert_same(found, clip)
    vision = {"position_resize": "bilinear_aligned", **changes["vision"]}
    wanted = clip.config.replace(
        vision=clip.config.vision.replace(**vision, image=found.config.vision.image),
        text=clip.config.text.replace(**changes["text"]),
    )
    assert found.config == wanted and found.config.vision.image.interpolation == "bilinear"


def config_of(**config):
    return CLIPConfig.from_dict(huggingface_siglip.config_from({}, config))


def test_defaults_are_those_of_transformers():
    wanted, config = transformers.SiglipConfig(), config_of()
    for ours, theirs in (
        (config.vision, wanted.vision_config),
        (config.text, wanted.text_config),
    ):
        assert (ours.hidden_dim, ours.mlp_dim) == (theirs.hidden_size, theirs.intermediate_size)
        assert ours.num_layers == theirs.num_hidden_layers
        assert ours.num_heads == theirs.num_attention_heads
        assert (ours.activation, ours.epsilon) == ("gelu_tanh", theirs.layer_norm_eps)
    assert config.vision.image_size == (wanted.vision_config.image_size,) * 2
    assert config.text.vocabulary_size == wanted.text_config.vocab_size
    assert config.text.context_length == wanted.text_config.max_position_embeddings
    assert config.text.pad_token_id == wanted.text_config.pad_token_id


def test_what_configurations_leave_to_be_known():
    # 384 pixels are no multiple of 14; Gemma's padding is not transformers' default.
    config = config_of(vision_config={"image_size": 384, "patch_size": 14})
    assert (config.vision.image_size, config.vision.grid_size) == ((378, 378), (27, 27))
    assert config_of(text_config={"vocab_size": 256000}).text.pad_token_id == 0
    with pytest.raises(CheckpointError, match="without its head"):
        config_of(vision_config={"vision_use_head": False})
    with pytest.raises(CheckpointError, match=r"text_config in config\.json: hidden_act is 'relu'"):
        config_of(text_config={"hidden_act": "relu"})


def test_oblong_pictures_are_not_written(folder, tmp_path):
    clip = from_preset(folder, image_size=(16, 24))
    with pytest.raises(CheckpointError, match="square pictures only"):
        export_checkpoint(clip, tmp_path / "copy")
