"""MetaCLIP 2: a CLIP whose texts end with an id that is not the highest."""

import json

import keras
import numpy as np
import pytest

from keras_clip import export_checkpoint, from_preset
from keras_clip.convert import open_checkpoint

TOWER = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_act": "gelu",
}
TEXT = {**TOWER, "vocab_size": 50, "max_position_embeddings": 9, "eos_token_id": 2}
VISION = {**TOWER, "image_size": 16, "patch_size": 8}


@pytest.fixture
def theirs(tmp_path):
    """A random MetaClip2Model of transformers, saved in tmp_path / "theirs"."""
    transformers = pytest.importorskip("transformers", minversion="5")
    import torch

    config = transformers.MetaClip2Config(text_config=TEXT, vision_config=VISION, projection_dim=12)
    model = transformers.MetaClip2Model(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in model.parameters():
            value.normal_(generator=generator).mul_(0.3)
    model.save_pretrained(tmp_path / "theirs")
    return model


def inputs():
    random = np.random.default_rng(0)
    token_ids = random.integers(3, 50, (3, 9)).astype("int32")
    for row, end in zip(token_ids, (4, 6, 8), strict=True):
        row[end:] = 2
    return random.standard_normal((2, 16, 16, 3)).astype("float32"), token_ids


def test_numbers_of_transformers_and_back(theirs, tmp_path):
    import torch

    images, token_ids = inputs()
    with torch.no_grad():
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
        wanted = theirs(torch.from_numpy(token_ids).long(), pixels).logits_per_image.numpy()
    clip = from_preset(tmp_path / "theirs")
    assert (clip.config.text.pooling, clip.config.text.end_token_id) == ("end_token", 2)
    found = keras.ops.convert_to_numpy(clip({"images": images, "token_ids": token_ids})["logits"])
    assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()

    export_checkpoint(clip, tmp_path / "ours")
    described = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert described["architectures"] == ["MetaClip2Model"]
    with (
        open_checkpoint(tmp_path / "theirs") as stored,
        open_checkpoint(tmp_path / "ours") as ours,
    ):
        assert set(stored) == set(ours)
        for name in stored:
            np.testing.assert_array_equal(stored[name].read(), ours[name].read(), err_msg=name)
    again = type(theirs).from_pretrained(tmp_path / "ours").eval()
    with torch.no_grad():
        back = again(torch.from_numpy(token_ids).long(), pixels).logits_per_image.numpy()
    np.testing.assert_array_equal(back, wanted)
