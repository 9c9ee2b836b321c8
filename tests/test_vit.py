"""The vision transformer: sizes, outputs, features, configuration."""

import json

import keras
import numpy as np
import pytest
from tiny_models import ENCODER, IMAGE_SIZE, tiny_images, tiny_vit

from keras_clip.models.config import ViTConfig
from keras_clip.models.vit import ViT

SIZES = {  # hidden_dim, num_layers, num_heads, mlp_dim
    "tiny": (192, 12, 3, 768),
    "small": (384, 12, 6, 1536),
    "base": (768, 12, 12, 3072),
    "large": (1024, 24, 16, 4096),
    "huge": (1280, 32, 16, 5120),
}
# With a head of 1000 classes at 224 pixels; from timm's and torchvision's model tables.
PUBLISHED = {
    ("tiny", 16): 5_717_416,
    ("small", 16): 22_050_664,
    ("small", 32): 22_878_952,
    ("base", 16): 86_567_656,
    ("base", 32): 88_224_232,
    ("large", 16): 304_326_632,
    ("large", 32): 306_535_400,
    ("huge", 14): 632_045_800,
}


def as_numpy(x):
    return keras.ops.convert_to_numpy(x)


def official(size, patch):
    names = ("hidden_dim", "num_layers", "num_heads", "mlp_dim")
    sizes = dict(zip(names, SIZES[size], strict=True))
    return ViTConfig(**sizes, patch_size=patch, num_classes=1000)


def count(config):
    """Number of weights of a plain classifier, by hand."""
    width, (ph, pw), (gh, gw) = config.hidden_dim, config.patch_size, config.grid_size
    embedding = ph * pw * 3 * width + width + (1 + 1 + gh * gw) * width
    attention = width * 3 * width + 3 * width + width * width + width
    mlp = width * config.mlp_dim + config.mlp_dim + config.mlp_dim * width + width
    block = attention + mlp + 4 * width
    return embedding + config.num_layers * block + 2 * width + (width + 1) * config.num_classes


@pytest.mark.parametrize("name", PUBLISHED, ids=str)
def test_published_sizes(name):
    assert count(official(*name)) == PUBLISHED[name]


def test_the_count_is_that_of_the_model():
    model = tiny_vit(num_classes=5)
    assert model.count_params() == count(model.config)


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED, ids=str)
def test_official_sizes_built(name):
    keras.backend.clear_session()
    assert ViT(official(*name)).count_params() == PUBLISHED[name]


# --- outputs


@pytest.mark.parametrize(
    "changes, shape",
    [
        ({}, (7, 8)),
        ({"num_prefix_tokens": 5}, (11, 8)),
        ({"num_prefix_tokens": 0, "pooling": "mean"}, (6, 8)),
        ({"num_classes": 3}, (3,)),
        ({"num_classes": 3, "pooling": "mean", "pre_logits_dim": 5}, (3,)),
        ({"projection_dim": 4, "layer_scale": 0.1, "patch_size": (2, 4)}, (4,)),
    ],
    ids=str,
)
def test_output(changes, shape):
    model = tiny_vit(**changes)
    output = model.predict_on_batch(tiny_images(3))
    assert model.output.shape == (None, *shape)
    assert output.shape == (3, *shape)
    if "num_classes" in changes:
        np.testing.assert_allclose(output.sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("pooling", ["class_token", "mean"])
def test_head_reads_the_pooled_tokens(pooling):
    model = tiny_vit(num_classes=3, pooling=pooling, head_activation=None, num_prefix_tokens=2)
    tokens = keras.Model(model.input, model.get_layer("norm").output)(tiny_images(3))
    tokens = as_numpy(tokens)
    pooled = tokens[:, 0] if pooling == "class_token" else tokens[:, 2:].mean(axis=1)
    kernel, bias = (as_numpy(w) for w in model.get_layer("head").weights)
    np.testing.assert_allclose(as_numpy(model(tiny_images(3))), pooled @ kernel + bias, atol=1e-5)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_head_activations(activation):
    model = tiny_vit(num_classes=3, head_activation=activation)
    logits = as_numpy(keras.Model(model.input, model.get_layer("head").output)(tiny_images(3)))
    functions = {
        "softmax": lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True),
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        None: lambda x: x,
    }
    output = as_numpy(model(tiny_images(3)))
    np.testing.assert_allclose(output, functions[activation](logits), atol=1e-6)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_dtype(dtype):
    model, reference = tiny_vit(dtype, num_classes=3), tiny_vit(num_classes=3)
    assert keras.config.dtype_policy().name == "float32"
    assert model.dtype_policy.name == dtype
    model.set_weights(reference.get_weights())
    assert keras.backend.standardize_dtype(model.output.dtype) == "float32"
    block = model.get_layer("block_1")
    assert keras.backend.standardize_dtype(block.output.dtype) == dtype.removeprefix("mixed_")
    expected = as_numpy(reference(tiny_images(3)))
    np.testing.assert_allclose(as_numpy(model(tiny_images(3))), expected, atol=0.02)
    assert ViT.from_config(model.get_config()).get_layer("block_1").compute_dtype in dtype


@pytest.mark.parametrize("dtype", [None, "mixed_bfloat16"])
def test_predict_is_the_call(dtype):
    model = tiny_vit(dtype)
    images = tiny_images(5)
    expected = model.predict_on_batch(images)
    for size in (2, 32, None):
        got = model.predict(images, batch_size=size, verbose=0)
        assert got.dtype == expected.dtype and got.shape == expected.shape
        tolerance = 1e-6 if dtype is None else 0.05
        np.testing.assert_allclose(
            got.astype("float32"), expected.astype("float32"), atol=tolerance
        )
    seen = []
    callback = keras.callbacks.LambdaCallback(on_predict_begin=seen.append)
    assert model.predict(images, verbose=0, callbacks=[callback]).shape == expected.shape
    assert len(seen) == 1


def test_features_are_ordinary_keras():
    model = tiny_vit()
    names = ["patch_embedding", "block_0", "block_1", "norm"]
    features = keras.Model(model.input, [model.get_layer(name).output for name in names])
    outputs = [as_numpy(x) for x in features(tiny_images(3))]
    assert [x.shape for x in outputs] == [(3, 6, 8), *[(3, 7, 8)] * 3]
    np.testing.assert_array_equal(outputs[-1], as_numpy(model(tiny_images(3))))


def test_compiled_on_request(backend):
    if backend == "torch":
        pytest.skip("Keras runs torch eagerly")
    model = tiny_vit(num_classes=3)
    expected = as_numpy(model(tiny_images(4)))
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=True)
    np.testing.assert_allclose(model.predict(tiny_images(4), verbose=0), expected, atol=1e-5)
    loss = model.fit(tiny_images(4), np.arange(4) % 3, verbose=0).history["loss"][0]
    np.testing.assert_allclose(loss, -np.log(expected[range(4), np.arange(4) % 3]).mean(), 1e-4)


# --- configuration


def test_config_goes_through_json():
    config = ViTConfig(
        **ENCODER, patch_size=(2, 4), image_size=IMAGE_SIZE, num_classes=2, labels=("a", "b")
    )
    assert ViTConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.grid_size == (4, 3)
    assert config.image.size == IMAGE_SIZE


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"hidden_dims": 8}, "hidden_dims"),
        ({"image": {"means": 1}}, "means"),
        ({"hidden_dim": 9}, "9.*num_heads=2"),
        ({"num_layers": 0}, "num_layers"),
        ({"num_heads": "two"}, "num_heads"),
        ({"activation": "relu"}, "relu"),
        ({"pooling": "max"}, "max"),
        ({"position_resize": "nearest"}, "nearest"),
        ({"head_activation": "relu"}, "relu"),
        ({"num_prefix_tokens": 0}, "num_prefix_tokens"),
        ({"image_size": 30}, r"\(30, 30\).*\(16, 16\)"),
        ({"num_classes": 3, "labels": ["a"]}, "1 labels for num_classes=3"),
    ],
    ids=str,
)
def test_bad_config(wrong, message):
    with pytest.raises(ValueError, match=message):
        ViTConfig.from_dict({**ENCODER, **wrong})


def test_config_that_lacks_a_field():
    with pytest.raises(ValueError, match="mlp_dim"):
        ViTConfig.from_dict({name: 8 for name in ENCODER if name != "mlp_dim"})


def test_image_processor_has_the_models_size():
    processor = tiny_vit().image_processor
    assert processor(np.zeros((20, 20, 3), "uint8")).shape == (1, *IMAGE_SIZE, 3)
