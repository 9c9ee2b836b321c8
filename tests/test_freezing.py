"""What trains after a recipe has frozen the rest, also when it is saved and read again."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import tiny_clip, tiny_vit

from keras_clip import CLIP, CLIPConfig, TextConfig, finetune
from keras_clip.layers import BottleneckBlock
from keras_clip.layers.layer_state import restore_state, walk
from keras_clip.models.config import ResNetConfig
from keras_clip.models.tower import make_tower
from keras_clip.models.zero_shot import zero_shot_classifier

TEXT = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 12}


def frozen_layers(model):
    """Paths of the layers that do not train, without those inside of such."""
    paths = []
    for path, layer in walk(model):
        if not layer.trainable and not any(path.startswith(f"{above}/") for above in paths):
            paths.append(path)
    return paths


def training(model):
    """Names of the layers, or of towers and theirs, whose weights train."""
    return {
        path
        for path, layer in walk(model)
        if not isinstance(layer, keras.Model) and path.count("/") <= isinstance(model, CLIP)
        if layer.trainable_variables
    }


@pytest.fixture(scope="module")
def resnet():
    """A CLIP with a ResNet, whose batch norms have statistics of their own."""
    keras.utils.set_random_seed(0)
    vision = ResNetConfig((1, 1, 1, 1), 4, num_heads=2, projection_dim=6, image_size=(32, 32))
    text = TextConfig(**TEXT, vocabulary_size=603, context_length=16, projection_dim=6)
    clip = CLIP(CLIPConfig(vision, text))
    random = np.random.default_rng(0)
    for _, layer in walk(clip):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(random.normal(0, 0.1, layer.moving_mean.shape))
            layer.moving_variance.assign(random.uniform(0.5, 2, layer.moving_mean.shape))
    return clip


@pytest.fixture
def block():
    """A classifier with batch norms inside of a block, and one outside."""
    images = keras.Input((4, 4, 3))
    x = keras.layers.BatchNormalization(name="stem_norm")(images)
    x = keras.layers.GlobalAveragePooling2D()(BottleneckBlock(2, name="stage_0_block_0")(x))
    return make_tower(images, keras.layers.Dense(2, name="head")(x), "classifier")


def test_partial_frees_the_end_of_each_tower():
    vit = finetune.partial(tiny_vit(num_classes=3), 1)
    assert training(vit) == {"block_1", "norm", "head"}
    assert training(finetune.partial(vit, 0)) == {"norm", "head"}
    assert training(finetune.partial(vit, 2)) == {"block_0", "block_1", "norm", "head"}
    clip = finetune.partial(tiny_clip(), 0)
    ends = {f"{tower}/{end}" for tower in ("vision", "text") for end in ("norm", "projection")}
    assert training(clip) == {*ends, "logit_scale"}
    with pytest.raises(ValueError, match="blocks is 0 to 2"):
        finetune.partial(vit, 3)
    with pytest.raises(ValueError, match="no layers block_0"):
        finetune.partial(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]))


def test_lit_frees_the_text_tower_and_the_scale():
    clip = finetune.lit(tiny_clip())
    assert not clip.get_layer("vision").trainable_variables
    free = {weight.path for weight in clip.trainable_variables}
    assert free == {w.path for w in clip.get_layer("text").weights} | {"logit_scale/log_scale"}
    with pytest.raises(ValueError, match="no CLIP"):
        finetune.lit(tiny_vit())


def test_only_a_classifier_has_a_head_and_adapters_come_last():
    with pytest.raises(ValueError, match=r"say what trains before lora"):
        finetune.full(finetune.lora(tiny_vit()))
    with pytest.raises(ValueError, match="no layer `head`"):
        finetune.only_head(tiny_vit())


def test_batch_norms_in_blocks_keep_their_statistics_also_when_saved(block, tmp_path):
    pixels = np.random.default_rng(1).normal(1, 2, (4, 4, 4, 3)).astype("float32")
    expected = ops.convert_to_numpy(block(pixels))
    finetune.full(block).compile("sgd")
    block.save(tmp_path / "c.keras")
    loaded = keras.saving.load_model(tmp_path / "c.keras")
    norms = ["norm1", "norm2", "norm3", "norm_shortcut"]
    inside = [f"stage_0_block_0/{name}" for name in norms]
    for model in (block, loaded, finetune.copied(block)):
        assert frozen_layers(model) == ["stem_norm", *inside]
        assert len(model.trainable_variables) == 4 + 2
        found = ops.convert_to_numpy(model(pixels, training=True))
        np.testing.assert_allclose(found, expected, atol=1e-5)
    moving = block.get_layer("stem_norm").moving_mean
    np.testing.assert_array_equal(ops.convert_to_numpy(moving), 0)
    moved = ops.convert_to_numpy(finetune.full(block, batch_norm=True)(pixels, training=True))
    assert np.abs(moved - expected).max() > 0.01
    assert np.all(ops.convert_to_numpy(moving) != 0)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["full", "lit", "partial"])
def test_batch_norms_keep_their_statistics_and_use_them(resnet, recipe):
    options = {"blocks": 1} if recipe == "partial" else {}
    clip = getattr(finetune, recipe)(finetune.copied(resnet), **options)
    pixels = np.random.default_rng(1).normal(size=(4, 32, 32, 3)).astype("float32")
    expected = ops.convert_to_numpy(resnet.encode_image(pixels))
    vision = clip.get_layer("vision")
    before = [ops.convert_to_numpy(weight) for weight in vision.weights]
    found = ops.convert_to_numpy(vision(pixels, training=True))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for weight, array in zip(vision.weights, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(weight), array)


def test_what_is_frozen_stays_so_when_compiled_saved_and_copied(tmp_path):
    cases = {
        "clip": finetune.partial(tiny_clip(), 1),
        "lit": finetune.lit(tiny_clip()),
        "vit": finetune.partial(tiny_vit(num_classes=2), 1),
        "whole": tiny_vit(num_classes=2),
    }
    cases["whole"].trainable = False
    for name, model in cases.items():
        wanted = frozen_layers(model)
        assert wanted
        model.compile("sgd")
        assert frozen_layers(model) == wanted
        model.save(tmp_path / f"{name}.keras")
        for again in (keras.saving.load_model(tmp_path / f"{name}.keras"), finetune.copied(model)):
            assert frozen_layers(again) == wanted
            assert len(again.trainable_variables) == len(model.trainable_variables)


def test_layers_that_are_not_there_cannot_be_frozen():
    with pytest.raises(ValueError, match=r"no layers \['block_7'\]"):
        restore_state(tiny_vit(), {"block_7": {"trainable": False}})


def test_what_the_first_version_called_frozen_is_known():
    vit = finetune.partial(tiny_vit(num_classes=2), 1)
    config = vit.get_config()
    frozen = [path for path, kept in config.pop("layer_state").items() if "trainable" in kept]
    again = type(vit).from_config({**config, "frozen": frozen})
    assert frozen_layers(again) == frozen_layers(vit)
    config = tiny_vit(layer_scale=0.1).get_config()
    again = type(vit).from_config({**config, "frozen": ["block_0/layer_scale1"]})
    assert [w.path for w in again.non_trainable_weights] == ["block_0/layer_scale1/gamma"]


def test_a_classifier_gives_its_tower_back_to_a_clip():
    base = tiny_clip()
    vision = finetune.copied(base).get_layer("vision")
    for weight in vision.weights:
        weight.assign(weight + 0.01)
    model = zero_shot_classifier(vision, np.eye(2, 6, dtype="float32"), ["a", "b"], 10.0)
    clip = finetune.adopt_tower(base, model)
    for weight, other in zip(clip.get_layer("vision").weights, vision.weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(weight), ops.convert_to_numpy(other))
    adapted = finetune.lora(finetune.copied(model), rank=1)
    kernel = ops.convert_to_numpy(vision.get_layer("block_0").mlp.fc1.kernel)
    layer = adapted.get_layer("block_0").mlp.fc1
    layer.lora_kernel_b.assign(ops.ones(layer.lora_kernel_b.shape))
    added = ops.convert_to_numpy(layer.lora_kernel_a) @ np.ones((1, 12), "float32")
    found = finetune.adopt_tower(clip, adapted).get_layer("vision").get_layer("block_0").mlp.fc1
    np.testing.assert_allclose(ops.convert_to_numpy(found.kernel), kernel + added, atol=1e-6)
    with pytest.raises(ValueError, match="is not made of this CLIP"):
        finetune.adopt_tower(clip, tiny_vit(num_classes=2))
    with pytest.raises(ValueError, match="is not made of this CLIP"):
        finetune.adopt_tower(tiny_clip(), tiny_vit(num_classes=2, mlp_dim=16))
