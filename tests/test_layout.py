"""What `layout_map` splits, and what it refuses."""

import keras
import numpy as np
import pytest
from tiny_models import tiny_clip, tiny_vit

from keras_clip import CLIP, CLIPConfig, TextConfig, from_preset, layout_map
from keras_clip.layers import Predictions
from keras_clip.models.deferred_weights import deferred_weights
from keras_clip.models.naflex import NaFlexConfig
from keras_clip.models.tower_configs import ResNetConfig

WIDTH = 64
SIZES = {"hidden_dim": WIDTH, "num_layers": 1, "num_heads": 8, "mlp_dim": 4 * WIDTH}
TEXT = TextConfig(512, 16, **SIZES, projection_dim=WIDTH)
WHOLE = ("position_embedding", "projection")  # see the test of real size


@pytest.fixture(autouse=True)
def _on_jax(request, backend):
    if backend != "jax" and "other_backends" not in request.node.name:
        pytest.skip("Keras splits weights over devices on JAX only")


def mesh(shape=(2, 4), axes=("data", "model")):
    """A mesh that nothing is computed on, so the devices need not be there."""
    count = int(np.prod(shape))
    return keras.distribution.DeviceMesh(shape, axes, [f"cpu:{i}" for i in range(count)])


def of_vision(config):
    return CLIP(CLIPConfig(config, TEXT))


def classifier_by_hand():
    tower = tiny_clip(**SIZES, text=SIZES).get_layer("vision")
    x = keras.layers.Dense(WIDTH, "relu")(tower.get_layer("pooling").output)  # "dense_7" or so
    return keras.Model(tower.input, Predictions()(keras.layers.Dense(3)(x)))


MODELS = {
    "clip": lambda: tiny_clip(**SIZES, text=SIZES),
    "text": lambda: tiny_clip(**SIZES, text=SIZES).get_layer("text"),
    "resnet": lambda: of_vision(ResNetConfig((1, 1, 1, 1), 8, 8, WIDTH, image_size=32)),
    "naflex": lambda: of_vision(NaFlexConfig(**SIZES, patch_size=4, grid_size=(4, 4))),
    "vit": lambda: tiny_vit(
        **SIZES, num_classes=3, pre_logits_dim=WIDTH, num_register_tokens=4, activation="swiglu"
    ),
    "pooled": lambda: tiny_vit(**SIZES, pooling="attention", final_norm=None, layer_scale=0.1),
    "by hand": classifier_by_hand,
}


@pytest.mark.parametrize("name", MODELS)
def test_every_large_weight_is_split(name):
    with deferred_weights():
        model = MODELS[name]()
    layouts = layout_map(model, mesh())
    for weight in model.weights:
        layout = layouts[weight.path]
        if layout is None:
            # The widest layer of a ResNet here has 256 channels, whose batch norms are whole.
            small = np.prod(weight.shape) <= 4 * WIDTH
            assert small or weight.path.split("/")[0] in WHOLE, weight.path
            continue
        assert layout.axes.count("model") == 1 and len(layout.axes) == len(weight.shape)
        assert weight.shape[layout.axes.index("model")] % 4 == 0
    assert layout_map(model, mesh((2, 1))).keys() == layouts.keys()


def test_megatrons_split_leaves_one_sum_a_branch():
    with deferred_weights():
        clip = MODELS["clip"]()
    layouts = layout_map(clip, mesh((4,), ("model",)))
    block = {name: layouts[f"block_7/{name}"].axes for name in ("attention/qkv/kernel",
        "attention/qkv/bias", "attention/out/kernel", "mlp/fc1/kernel", "mlp/fc1/bias",
        "mlp/fc2/kernel")}  # fmt: skip
    whole_in, split_out = (None, "model"), ("model", None)
    assert list(block.values()) == 2 * [whole_in, ("model",), split_out]
    for whole in ("attention/out/bias", "mlp/fc2/bias", "norm1/gamma"):
        assert layouts[f"block_7/{whole}"] is None


@pytest.mark.slow
def test_what_is_whole_is_small_in_a_model_of_real_size():
    with deferred_weights():
        clip = from_preset("clip_vit_base_patch32_openai", load_weights=False)
    layouts = layout_map(clip, mesh())
    whole = [np.prod(w.shape) for w in clip.weights if layouts[w.path] is None]
    parameters = clip.count_params()
    assert max(whole) < 0.003 * parameters and sum(whole) < 0.01 * parameters


def test_a_shallow_model_gives_the_layouts_of_a_deep_one():
    with deferred_weights():
        shallow, deep = MODELS["clip"](), tiny_clip(
            **{**SIZES, "num_layers": 3}, text={**SIZES, "num_layers": 2}
        )  # fmt: skip
    one, other = layout_map(shallow, mesh()), layout_map(deep, mesh())
    assert {k: v.axes for k, v in one.items()} == {k: v.axes for k, v in other.items()}


def test_what_cannot_be_shared_equally_is_listed():
    with deferred_weights():
        clip = tiny_clip(**SIZES, text={**SIZES, "num_heads": 2, "mlp_dim": 6, "num_layers": 2})
    with pytest.raises(ValueError, match="cannot share equally") as error:
        layout_map(clip, mesh())
    lines = str(error.value).splitlines()
    assert lines[1:] == [
        "  num_heads of text/block_*: 2",
        "  dimension 1 of block_*/mlp/fc1/kernel (64, 6): 6",
        "  dimension 0 of block_*/mlp/fc1/bias (6,): 6",
        "  dimension 0 of block_*/mlp/fc2/kernel (6, 64): 6",
        # 6 is also the width of the shared space, which nothing is split by.
        "Give the axis a size that divides 2.",
    ]


def test_a_mesh_without_the_axis_is_refused():
    with deferred_weights():
        vit = tiny_vit()
    with pytest.raises(ValueError, match=r"axes \('batch', 'heads'\) and none called 'model'"):
        layout_map(vit, mesh(axes=("batch", "heads")))


def test_other_backends_are_refused(backend):
    if backend == "jax":
        pytest.skip("Keras splits weights on JAX")
    with pytest.raises(RuntimeError, match=f"on JAX only, not on {backend}: set KERAS_BACKEND=jax"):
        layout_map(tiny_vit(), mesh=None)
