"""What decays, and how fast what depth learns."""

import keras
import numpy as np
import pytest
from tiny_models import ENCODER, tiny_clip, tiny_vit

from keras_clip.models.config import ResNetConfig
from keras_clip.models.naflex import NaFlexConfig
from keras_clip.models.towers import VisionTower
from keras_clip.train.layer_decay import rate_multipliers
from keras_clip.train.optimizer import is_decayed
from keras_clip.train.schedule import warm_up_and_cosine


@pytest.fixture(autouse=True)
def _empty():
    """Models are made without weights, for their names and shapes alone."""
    with keras.StatelessScope(initialize_variables=False):
        yield


def resnet():
    return VisionTower(ResNetConfig((1, 2, 1, 1), 2, 2, 6, 32))


def naflex():
    return VisionTower(NaFlexConfig(**ENCODER, patch_size=4, grid_size=(2, 3)))


def test_kernels_decay_and_nothing_else():
    clip = tiny_clip(num_register_tokens=2, layer_scale=0.1)
    blocks = [
        f"block_0/{name}/kernel" for name in "attention/qkv attention/out mlp/fc1 mlp/fc2".split()
    ]
    wanted = ["patch_embedding/kernel", *blocks, "projection/kernel", *blocks, "projection/kernel"]
    assert [v.path for v in clip.trainable_variables if is_decayed(v)] == wanted
    pool = "query key_value out mlp/fc1 mlp/fc2".split()
    wanted = ["patch_embedding/kernel", *blocks, *(b.replace("0", "1", 1) for b in blocks)]
    wanted += [f"pooling/{name}/kernel" for name in pool]
    assert sorted(v.path for v in naflex().trainable_variables if is_decayed(v)) == sorted(wanted)
    wanted = [f"stem_conv{i}/kernel" for i in (1, 2, 3)]
    for stage, block in ((0, 0), (1, 0), (1, 1), (2, 0), (3, 0)):
        convolutions = ["conv1", "conv2", "conv3", *([] if block else ["conv_shortcut"])]
        wanted += [f"stage_{stage}_block_{block}/{name}/kernel" for name in convolutions]
    wanted += [f"attention_pool/{name}/kernel" for name in ("query", "key", "value", "out")]
    assert [v.path for v in resnet().trainable_variables if is_decayed(v)] == wanted


def test_open_clip_decays_the_same_but_embeddings():
    """By its rule: not what has fewer than two axes, nor by name bn, ln, bias or logit_scale."""
    open_clip = pytest.importorskip("open_clip")
    vision = {"layers": 1, "width": 64, "patch_size": 16, "image_size": 32}
    text = {"context_length": 8, "vocab_size": 50, "width": 64, "heads": 1, "layers": 1}
    theirs = open_clip.CLIP(8, vision, text)
    no = ("bn", "ln", "bias", "logit_scale")
    decayed = [n for n, p in theirs.named_parameters()
               if p.ndim > 1 and not any(part in n for part in no)]  # fmt: skip
    embeddings = {"positional_embedding", "visual.positional_embedding", "token_embedding.weight"}
    assert embeddings <= set(decayed)
    ours = [v for v in tiny_clip().trainable_variables if is_decayed(v)]
    assert len(ours) == len(decayed) - len(embeddings) == 11


def test_rates_by_depth():
    def rates(model):
        found = zip(model.trainable_variables, rate_multipliers(model, 0.75), strict=True)
        return {variable.path.split("/")[0]: rate for variable, rate in found}

    # Two blocks: 0.75 ** 3 before them, 0.75 ** 2, 0.75 ** 1, and 1 behind.
    vit = rates(tiny_vit(num_classes=3, use_norm_pre=True, num_register_tokens=1))
    before = "patch_embedding class_token position_embedding register_tokens norm_pre".split()
    assert vit == {**dict.fromkeys(before, 0.421875), "block_0": 0.5625, "block_1": 0.75,
                   "norm": 1, "head": 1}  # fmt: skip
    naflex_rates = rates(naflex())
    assert naflex_rates["position_embedding"] == 0.421875 and naflex_rates["pooling"] == 1
    found = rates(resnet())  # five blocks
    assert found["stem_conv1"] == found["stem_norm3"] == pytest.approx(0.75**6)
    assert found["stage_0_block_0"] == pytest.approx(0.75**5)
    assert found["stage_3_block_0"] == 0.75
    assert found["position_embedding"] == found["attention_pool"] == 1
    clip = tiny_clip(num_layers=3)  # its text tower has one block
    pairs = list(zip(clip.trainable_variables, rate_multipliers(clip, 0.5), strict=True))
    assert {r for v, r in pairs if v.path.startswith("token_embedding")} == {0.25}
    assert [r for v, r in pairs if v.path == "position_embedding/embeddings"] == [0.0625, 0.25]
    assert [r for v, r in pairs if v.path == "block_0/mlp/fc1/kernel"] == [0.125, 0.5]
    assert pairs[-1][0].path == "logit_scale/log_scale" and pairs[-1][1] == 1
    assert set(rate_multipliers(clip, 1.0)) == {1.0}


def test_schedule():
    schedule = warm_up_and_cosine(0.8, 12, 4)
    wanted = [0.2, 0.35, 0.5, 0.65, *(0.4 * (1 + np.cos(np.pi * k / 8)) for k in range(9)), 0.0]
    np.testing.assert_allclose([float(schedule(i)) for i in range(14)], wanted, atol=1e-7)
    found = [float(warm_up_and_cosine(2.0, 4, 0)(i)) for i in range(5)]
    np.testing.assert_allclose(found, [1 + np.cos(np.pi * k / 4) for k in range(5)], atol=1e-6)
