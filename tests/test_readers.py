"""Every layout of checkpoint reads to the exact values that its own library gives."""

import importlib.util
import pathlib
import shutil
import threading
import zipfile

import ml_dtypes
import numpy as np
import pytest

from keras_clip.convert import CheckpointError, open_checkpoint
from keras_clip.convert.blobs import SharedFile

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
CHECKPOINTS = FIXTURES / "checkpoints"

_spec = importlib.util.spec_from_file_location("makers", FIXTURES / "make_checkpoints.py")
makers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(makers)


def assert_same(found, wanted):
    """Same names, shapes and dtypes, and the same bits."""
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        lazy = found[name]
        values = lazy.read()
        assert lazy.name == name
        assert lazy.shape == values.shape == array.shape, name
        assert lazy.dtype == values.dtype == array.dtype, name
        assert lazy.nbytes == values.nbytes
        assert values.flags.owndata or values.base.flags.owndata
        assert values.flags.writeable and values.flags.c_contiguous
        assert values.tobytes() == np.asarray(array, order="C").tobytes(), name


def from_torch(tensors):
    """torch tensors -> arrays, bfloat16 kept."""
    import torch

    arrays = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        if tensor.dtype == torch.bfloat16:
            arrays[name] = tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        else:
            arrays[name] = tensor.numpy()
    return arrays


@pytest.mark.parametrize(
    ("file", "format", "metadata"),
    [
        ("every_dtype.pt", "torch_zip", {}),
        ("every_dtype_legacy.pt", "torch_legacy", {}),
        ("every_dtype.safetensors", "safetensors", {"note": "tiny"}),
        ("every_dtype.npz", "npz", {}),
        ("every_dtype_compressed.npz", "npz", {}),
        ("every_dtype.weights.h5", "hdf5", {}),
    ],
)
def test_every_dtype(file, format, metadata):
    with open_checkpoint(CHECKPOINTS / file) as checkpoint:
        assert checkpoint.format == format
        assert checkpoint.metadata == metadata
        assert checkpoint.path == CHECKPOINTS / file
        assert_same(checkpoint, makers.expected())


@pytest.mark.parametrize("file", ["views.pt", "views_legacy.pt"])
def test_views_on_shared_storages(file):
    with open_checkpoint(CHECKPOINTS / file) as checkpoint:
        assert_same(checkpoint, makers.expected_views())


def test_npz_column_order_byte_order_and_text():
    with open_checkpoint(CHECKPOINTS / "orders.npz") as checkpoint:
        column = np.arange(40, dtype=np.float32).reshape(8, 5, order="F")
        assert_same(checkpoint, {"big": np.arange(4, dtype=np.float32), "column": column})
        assert checkpoint.metadata == {"text": ["a", "b"]}


def test_training_checkpoint_is_unwrapped():
    with open_checkpoint(CHECKPOINTS / "training.pt") as checkpoint:
        assert checkpoint["a.weight"].shape == (4,)
        assert set(checkpoint) == {"a.weight", "b"}
        assert checkpoint.metadata == {"epoch": 3, "name": "tiny", "lr": 0.5, "size": (2, 3)}


def test_torchscript_names_are_attribute_paths():
    with open_checkpoint(CHECKPOINTS / "torchscript.pt") as checkpoint:
        assert checkpoint.format == "torchscript"
        weight = np.arange(6).reshape(2, 3).astype(np.float16)
        scalars = {"inner.0.count": np.array(5), "inner.1.count": np.array(5)}
        weights = {"inner.0.weight": weight, "inner.1.weight": weight}
        assert_same(checkpoint, {"input_resolution": np.array(224), **scalars, **weights})


@pytest.mark.parametrize("entry", ["", "model.safetensors.index.json"])
def test_shards(entry):
    with open_checkpoint(CHECKPOINTS / "sharded" / entry) as checkpoint:
        assert checkpoint.metadata == {"total_size": 20}
        values = {"a": np.arange(3, dtype=np.float32), "b": np.arange(4, dtype=np.float16)}
        assert_same(checkpoint, values)


def test_format_comes_from_the_content(tmp_path):
    for name in ("every_dtype.pt", "every_dtype_legacy.pt", "every_dtype.safetensors"):
        shutil.copyfile(CHECKPOINTS / name, tmp_path / "weights.npz")
        with open_checkpoint(str(tmp_path / "weights.npz")) as checkpoint:
            assert_same(checkpoint, makers.expected())


def test_order_within_a_directory(tmp_path):
    last_first = ("open_clip_pytorch_model.bin", "pytorch_model.bin", "open_clip_model.safetensors")
    for name in (*last_first, "model.safetensors"):
        kind = "every_dtype.pt" if name.endswith(".bin") else "every_dtype.safetensors"
        shutil.copyfile(CHECKPOINTS / kind, tmp_path / name)
        with open_checkpoint(tmp_path) as checkpoint:
            assert checkpoint.path == tmp_path / name


def test_members_of_an_npz_need_no_suffix(tmp_path):
    source = zipfile.ZipFile(CHECKPOINTS / "every_dtype.npz")
    with source, zipfile.ZipFile(tmp_path / "bare", "w") as target:
        for name in source.namelist():
            target.writestr(name.removesuffix(".npy"), source.read(name))
    with open_checkpoint(tmp_path / "bare") as checkpoint:
        assert_same(checkpoint, makers.expected())


@pytest.mark.parametrize("file", ["every_dtype.pt", "every_dtype_legacy.pt", "every_dtype.npz"])
def test_only_the_bytes_asked_for_are_read(file, monkeypatch):
    reads = []
    original = SharedFile.readinto

    def readinto(self, buffer, start):
        reads.append(len(memoryview(buffer).cast("B")))
        return original(self, buffer, start)

    monkeypatch.setattr(SharedFile, "readinto", readinto)
    with open_checkpoint(CHECKPOINTS / file) as checkpoint:
        reads.clear()
        checkpoint["matrix"].read()
        # NumPy's header belongs to what a member's checksum is of.
        assert reads == [48, 128] if file.endswith(".npz") else [48]


def test_tensors_are_read_from_several_threads():
    wanted = makers.expected()
    with open_checkpoint(CHECKPOINTS / "every_dtype_compressed.npz") as checkpoint:
        failures = []

        def work():
            for _ in range(20):
                for name, lazy in checkpoint.items():
                    if lazy.read().tobytes() != wanted[name].tobytes():
                        failures.append(name)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures


@pytest.mark.parametrize("file", ["every_dtype.pt", "every_dtype_compressed.npz"])
def test_reading_after_close_is_an_error(file):
    checkpoint = open_checkpoint(CHECKPOINTS / file)
    checkpoint.close()
    checkpoint.close()
    with pytest.raises(CheckpointError, match=r"matrix.*closed"):
        checkpoint["matrix"].read()


@pytest.mark.parametrize(
    ("wrap", "names"),
    [
        (lambda w: {"model": w, "optimizer": {"state": w}}, {"a.b", "c"}),
        (lambda w: {"epoch": 1, "model": {"state_dict": w}}, {"a.b", "c"}),
        (lambda w: {f"_orig_mod.module.{k}": v for k, v in w.items()}, {"a.b", "c"}),
        (lambda w: {"tower": w, "optimizer": {"state": w}}, {"tower.a.b", "tower.c"}),
        (lambda w: {"params": {"a": {"b": w["c"]}}}, {"a.b"}),
        (lambda w: {"module.a": w["c"], "b": w["c"]}, {"module.a", "b"}),
    ],
)
def test_wrappers_of_training_loops(tmp_path, wrap, names):
    torch = pytest.importorskip("torch")
    torch.save(wrap({"a.b": torch.ones(2), "c": torch.zeros(3)}), tmp_path / "w.pt")
    with open_checkpoint(tmp_path / "w.pt") as checkpoint:
        assert set(checkpoint) == names


def test_harmless_objects_beside_the_weights(tmp_path):
    import argparse
    import collections

    torch = pytest.importorskip("torch")
    content = {
        "state_dict": collections.OrderedDict(a=torch.ones(2, dtype=torch.complex64)),
        "args": argparse.Namespace(lr=0.5, names=["x"]),
        "milestones": collections.Counter([3]),
        "kinds": {"a", "b"},
        "device": torch.device("cuda:0"),
        "score": np.float64(0.25),
    }
    for legacy in (True, False):
        path = tmp_path / "w.pt"
        torch.save(content, path, _use_new_zipfile_serialization=not legacy, pickle_protocol=4)
        with open_checkpoint(path) as checkpoint:
            assert_same(checkpoint, {"a": np.ones(2, np.complex64)})
            assert checkpoint.metadata["args"] == {"lr": 0.5, "names": ["x"]}
            assert checkpoint.metadata["device"] == "cuda:0"


def test_newer_dtypes_of_torch(tmp_path):
    torch = pytest.importorskip("torch")
    tensors = {
        "u16": torch.tensor([1, 65535], dtype=torch.uint16),
        "u32": torch.tensor([1, 2**32 - 1], dtype=torch.uint32),
        "f8": torch.tensor([1.5, -2.0]).to(torch.float8_e4m3fn),
    }
    torch.save(tensors, tmp_path / "w.pt")
    with open_checkpoint(tmp_path / "w.pt") as checkpoint:
        assert checkpoint["u16"].read().tolist() == [1, 65535]
        assert checkpoint["u32"].read().tolist() == [1, 2**32 - 1]
        assert checkpoint["f8"].read().astype(np.float32).tolist() == [1.5, -2.0]
