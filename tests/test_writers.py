"""What the writers write, the libraries of each format read back bit for bit."""

import json

import ml_dtypes
import numpy as np
import pytest
from test_readers import CHECKPOINTS, assert_same, from_torch, makers

from keras_clip.convert import open_checkpoint, write_npz, write_safetensors, write_torch_zip

WRITERS = [write_safetensors, write_torch_zip, write_npz]


def arrays():
    """Every dtype, and layouts that are not row-major or not little-endian."""
    return {
        **makers.expected(),
        "transposed": np.arange(12, dtype=np.float32).reshape(3, 4).T,
        "big_endian": np.arange(3, dtype=">f4"),
        "kernel": np.arange(36, dtype=np.float16).reshape(3, 3, 2, 2),
    }


def native():
    return {k: v.astype(v.dtype.newbyteorder("=")) for k, v in arrays().items()}


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("lazy", [False, True])
def test_round_trip(tmp_path, write, lazy):
    sources = {k: (lambda v=v: v) if lazy else v for k, v in arrays().items()}
    write(tmp_path / "weights", sources)
    with open_checkpoint(tmp_path / "weights") as checkpoint:
        assert_same(checkpoint, native())
    assert [p.name for p in tmp_path.iterdir()] == ["weights"]


@pytest.mark.parametrize("write", WRITERS)
def test_lazy_tensors_are_copied_from_file_to_file(tmp_path, write):
    with open_checkpoint(CHECKPOINTS / "views.pt") as source:
        write(tmp_path / "weights", source)
    with open_checkpoint(tmp_path / "weights") as checkpoint:
        assert_same(checkpoint, makers.expected_views())


@pytest.mark.parametrize("mmap", [False, True])
def test_torch_reads_the_state_dict(tmp_path, mmap):
    torch = pytest.importorskip("torch")
    write_torch_zip(tmp_path / "weights.bin", arrays())
    found = torch.load(tmp_path / "weights.bin", weights_only=True, mmap=mmap)
    assert list(found) == list(arrays())
    for name, array in from_torch(found).items():
        assert array.shape == native()[name].shape
        assert array.dtype == native()[name].dtype
        assert array.tobytes() == native()[name].tobytes(), name


def test_safetensors_reads_the_file(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    safetensors = pytest.importorskip("safetensors")
    path = tmp_path / "model.safetensors"
    assert write_safetensors(path, arrays(), metadata={"format": "pt"}) == [path]
    with safetensors.safe_open(path, "numpy") as file:
        assert file.metadata() == {"format": "pt"}
    found = numpy.load_file(path)
    for name, array in native().items():
        assert found[name].dtype == array.dtype
        assert found[name].tobytes() == array.tobytes()


def test_shards_with_an_index(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "model.safetensors"
    tensors = {name: np.full(8, i, np.float32) for i, name in enumerate("abcde")}
    tensors["wide"] = np.zeros(100, np.float32)
    write_safetensors(path, tensors)
    files = write_safetensors(path, tensors, max_shard_size=64)
    names = [f"model-0000{i}-of-00004.safetensors" for i in range(1, 5)]
    assert [file.name for file in files] == [*names, "model.safetensors.index.json"]
    # The single file from before would be found first.
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(file.name for file in files)
    index = json.loads(files[-1].read_text())
    assert index["metadata"] == {"total_size": 5 * 32 + 400}
    found = {}
    for name in names:
        part = numpy.load_file(tmp_path / name)
        assert all(index["weight_map"][tensor] == name for tensor in part)
        found |= part
    assert set(found) == set(tensors)
    with open_checkpoint(tmp_path) as checkpoint:
        assert_same(checkpoint, tensors)


def test_numpy_reads_the_npz(tmp_path):
    write_npz(tmp_path / "weights.npz", arrays())
    with np.load(tmp_path / "weights.npz") as found:
        for name, array in native().items():
            values = found[name]
            if array.dtype == ml_dtypes.bfloat16:
                assert values.dtype == np.dtype("V2")
            else:
                assert values.dtype == array.dtype
            assert values.shape == array.shape
            assert values.tobytes() == array.tobytes()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("write", WRITERS)
def test_nothing_is_left_when_interrupted(tmp_path, write, error):
    def fail():
        raise error

    (tmp_path / "weights").write_bytes(b"before")
    with pytest.raises(error):
        write(tmp_path / "weights", {"a": np.zeros(1000), "b": fail})
    assert [p.name for p in tmp_path.iterdir()] == ["weights"]
    assert (tmp_path / "weights").read_bytes() == b"before"


@pytest.mark.parametrize("write", WRITERS)
def test_a_dtype_without_a_name_is_an_error(tmp_path, write):
    with pytest.raises(ValueError, match=r"'a'.*convert it first"):
        write(tmp_path / "weights", {"a": np.array(["text"])})
    assert not list(tmp_path.iterdir())
