"""Models of timm and open_clip, small and random, for what torch's own tools make of them."""

import pytest
from layout_files import arrays, assert_loads

from keras_clip import from_preset
from keras_clip.convert.openai_answers import OFFICIAL


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def vit(torch):
    timm = pytest.importorskip("timm")
    return timm.create_model("vit_tiny_patch16_224", depth=2, img_size=32, num_classes=5)


@pytest.fixture(scope="module")
def clip(torch):
    kind = pytest.importorskip("open_clip.model").CLIP
    vision = {"layers": 2, "width": 64, "patch_size": 8, "image_size": 16}
    text = {"context_length": 6, "vocab_size": 40, "width": 64, "heads": 1, "layers": 2}
    return kind(16, vision, text, quick_gelu=True)


@pytest.fixture
def check(torch, tmp_path):
    """Whether a file gives what a plain state dict gives; the plan it was read by."""

    def checked(content, state, **settings):
        family = {"family": "vit"} if "cls_token" in state else {"config": OFFICIAL}
        torch.save(dict(state), tmp_path / "plain.pt")
        weights = arrays(from_preset(tmp_path / "plain.pt", **family))
        torch.save(content, tmp_path / "file.pt")
        return assert_loads(tmp_path / "file.pt", weights, **family, **settings)

    return checked
