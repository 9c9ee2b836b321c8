"""Published models give the numbers that others have published for them; needs a network."""

import numpy as np
import pytest

from keras_clip import from_preset, preset_info
from keras_clip.download import fetch

pytestmark = pytest.mark.network
CATS = "http://images.cocodataset.org/val2017/000000039769.jpg"
DIAGRAM = "https://raw.githubusercontent.com/openai/CLIP/main/CLIP.png"
# A JPEG's pixels differ by 1 from one decoder to another.
DECODER_TOLERANCE = 0.02


@pytest.mark.parametrize(
    "name", ["clip_vit_base_patch32_openai", "clip_vit_base_patch16_laion2b_s34b_b88k"]
)
def test_a_clip_tells_colours_apart(name):
    clip = from_preset(name)
    assert clip.count_params() == preset_info(name)["params"]
    colors = {"red": (220, 20, 20), "green": (20, 160, 20), "blue": (20, 20, 220)}
    images = [np.full((64, 64, 3), value, "uint8") for value in colors.values()]
    images, texts = clip.embed_images(images), clip.embed_texts([f"the colour {c}" for c in colors])
    assert images.shape == texts.shape == (3, 512)
    assert (images @ texts.T).argmax(axis=1).tolist() == [0, 1, 2]


def test_logits_of_transformers():
    """The values of transformers' `CLIPModelIntegrationTest.test_inference`."""
    clip = from_preset("clip_vit_base_patch32_openai")
    texts = ["a photo of a cat", "a photo of a dog"]
    logits = clip.scale * clip.embed_images([fetch(CATS)]) @ clip.embed_texts(texts).T
    np.testing.assert_allclose(logits, [[24.5701, 19.3049]], atol=DECODER_TOLERANCE)


def test_probabilities_of_openai():
    """The values that the README of openai/CLIP prints, computed there in float16."""
    clip = from_preset("clip_vit_base_patch32_openai")
    classifier = clip.zero_shot_classifier(["a diagram", "a dog", "a cat"], "{}")
    got = classifier.predict(clip.image_processor([fetch(DIAGRAM)]), verbose=0)
    np.testing.assert_allclose(got, [[0.9927937, 0.00421068, 0.00299572]], atol=1e-3)


def test_logits_of_a_vit():
    """The values of transformers' `ViTModelIntegrationTest`, image classification."""
    name = "vit_base_patch16_224_orig_in21k_ft_in1k"
    vit = from_preset(name, head_activation=None)
    assert vit.count_params() == preset_info(name)["params"]
    logits = vit.predict(vit.image_processor([fetch(CATS)]), verbose=0)
    assert logits.shape == (1, 1000)
    np.testing.assert_allclose(logits[0, :3], [-0.2744, 0.8215, -0.0836], atol=DECODER_TOLERANCE)
