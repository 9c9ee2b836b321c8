"""The reference checkpoints read to the values that torch, safetensors and NumPy give."""

import json

import ml_dtypes
import numpy as np
import pytest
from test_readers import assert_same, from_torch

from keras_clip.convert import open_checkpoint

OPENAI = [
    "clip_vit_jit_fp16.pt",
    "clip_resnet_jit_fp16.pt",
    "clip_vit_state_dict_fp16.pt",
    "clip_vit_state_dict_fp16_legacy.pt",
    "clip_vit_small_bf16.pt",
    "clip_vit_small_training_checkpoint.pt",
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("file", OPENAI)
def test_openai_reference(reference, file):
    torch = pytest.importorskip("torch")
    path = reference / "openai" / file
    if "jit" in file:
        wanted = torch.jit.load(path, map_location="cpu").state_dict()
    else:
        wanted = torch.load(path, map_location="cpu", weights_only=True)
        wanted = wanted.get("state_dict", wanted)
    arrays = {k.removeprefix("module."): v for k, v in from_torch(wanted).items()}
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.format == (
            "torchscript" if "jit" in file else "torch_legacy" if "legacy" in file else "torch_zip"
        )
        assert_same(checkpoint, arrays)


def test_hugging_face_and_open_clip_reference(reference):
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    folders = [p for kind in ("hf", "open_clip") for p in (reference / kind).iterdir()]
    folders = [folder for folder in folders if folder.is_dir()]
    assert len(folders) > 15
    for folder in folders:
        wanted = {}
        for file in [*folder.glob("*.safetensors"), *folder.glob("*.bin")]:
            if file.suffix == ".bin":
                wanted |= torch.load(file, weights_only=True)
            else:
                wanted |= safetensors.load_file(file)
        with open_checkpoint(folder) as checkpoint:
            assert_same(checkpoint, from_torch(wanted))


def test_npz_reference(reference):
    for path in sorted((reference / "npz").glob("*.npz")):
        with np.load(path) as wanted, open_checkpoint(path) as checkpoint:
            arrays = {name: wanted[name] for name in wanted}
            for name, array in arrays.items():
                if array.dtype.kind == "V":
                    arrays[name] = array.view(ml_dtypes.bfloat16)
            assert_same(checkpoint, arrays)


def test_unusual_reference(reference):
    for entry in json.loads((reference / "unusual" / "index.json").read_text()):
        wanted = np.load(reference / "unusual" / entry["expected"])
        with wanted, open_checkpoint(reference / "unusual" / entry["file"]) as checkpoint:
            assert set(checkpoint) == set(wanted)
            for name, lazy in checkpoint.items():
                values = lazy.read()
                assert values.shape == wanted[name].shape
                # The answers were widened: NumPy's own files have no bfloat16.
                same = values.astype(wanted[name].dtype) == wanted[name]
                assert same.all(), name
            assert checkpoint["f16"].dtype == np.float16
            assert checkpoint["bf16"].dtype == ml_dtypes.bfloat16
            if entry["file"].endswith(".pt"):
                assert checkpoint.metadata["sizes"] == (1, [2, 3], {"a": -1})
                assert checkpoint.metadata["big"] == 2**70
