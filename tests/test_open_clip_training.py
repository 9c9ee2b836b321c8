"""Training beside open_clip: the same weights, batches and recipe give the same losses."""

import math

import numpy as np
import pytest
from open_clip_peer import OpenClipPeer
from tiny_models import tiny_clip, tiny_pairs

from keras_clip import export_checkpoint
from keras_clip.models.clip import CLIP
from keras_clip.models.config import CLIPConfig
from keras_clip.preprocessing.image_config import ImageConfig
from keras_clip.train.optimizer import adamw

STEPS, PAIRS, BATCHES = 50, 12, 4
RECIPE = {"learning_rate": 1e-3, "steps": 60, "warmup_steps": 10, "weight_decay": 0.2}
KINDS = {  # fields of the CLIP's configuration
    "softmax": {"initial_scale": 110.0},  # beyond its limit, so that it is clamped
    "sigmoid": {"initial_scale": 10.0, "initial_bias": -10.0},
}


@pytest.fixture(autouse=True)
def one_thread():
    """So small a model is slower on more, by far where others compute too."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def model(scale):
    """A CLIP of two blocks a tower; `scale` are fields of its configuration."""
    sizes = {"hidden_dim": 32, "num_layers": 2, "num_heads": 2, "mlp_dim": 64}
    sizes["activation"] = "gelu"
    image = ImageConfig(crop="timm")  # OpenCLIP's own, of pictures that are not square
    made = tiny_clip(text=sizes, use_patch_bias=False, image=image, **sizes).config
    return CLIP(CLIPConfig(made.vision, made.text, **scale))


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_those_of_open_clip(kind, tmp_path):
    pytest.importorskip("open_clip")
    clip, pairs = model(KINDS[kind]), tiny_pairs(PAIRS * BATCHES)
    batches = [{k: v[PAIRS * b :][:PAIRS] for k, v in pairs.items()} for b in range(BATCHES)]
    export_checkpoint(clip, tmp_path / "first", "open_clip")
    peer = OpenClipPeer(tmp_path / "first", **RECIPE)
    clip.compile(adamw(clip, **RECIPE))
    found, expected, clamped = [], [], 0
    for step in range(STEPS):
        batch = batches[step % BATCHES]
        expected.append(peer.step(**batch))
        found.append(float(clip.train_on_batch(batch)))
        clip.reset_metrics()  # before Keras 3.15 the mean since then comes back
        clamped += peer.model.logit_scale.item() == pytest.approx(math.log(100))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert expected[-1] < 0.6 * expected[0]
    assert clamped > 0 or kind != "softmax"
