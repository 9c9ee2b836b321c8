"""Keras's weight files are read without the HDF5 library, and nothing leads out of them."""

import struct

import h5py
import keras
import numpy as np
import pytest
from guards import error_of, guarded, read_all, watched  # noqa: F401

from keras_clip.convert import open_checkpoint

pytestmark = pytest.mark.usefixtures("guarded")


def model():
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((8,)), layers.Dense(64), layers.Dense(512), layers.Dense(256)]
    )


def by_h5py(path):
    found = {}

    def take(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(path) as file:
        file.visititems(take)
    return found


def assert_same(found, wanted):
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
        assert found[name].dtype == values.dtype


def test_what_keras_saves(tmp_path):
    path = tmp_path / "model.weights.h5"
    model().save_weights(path)
    found = read_all(path)
    assert len(found) == 6 and found["layers/dense_1/vars/0"].shape == (64, 512)
    assert_same(found, by_h5py(path))
    assert_same(read_all(tmp_path), found)  # a directory that holds it


def test_what_keras_saves_in_shards(tmp_path):
    keras.utils.set_random_seed(0)
    built = model()
    built.save_weights(tmp_path / "whole.weights.h5")
    built.save_weights(tmp_path / "model.weights.json", max_shard_size=0.0006)
    assert len(list(tmp_path.glob("model_*.h5"))) > 1
    with open_checkpoint(tmp_path / "model.weights.json") as checkpoint:
        assert checkpoint.format == "hdf5"
    assert_same(read_all(tmp_path / "model.weights.json"), read_all(tmp_path / "whole.weights.h5"))
    next(tmp_path.glob("model_*.h5")).unlink()
    assert "which is not beside it" in error_of(tmp_path / "model.weights.json")


def test_many_objects_and_both_byte_orders(tmp_path):
    with h5py.File(tmp_path / "many.h5", "w") as file:
        for i in range(1500):
            file.create_dataset(f"group_{i % 3}/x{i:04}", data=np.full((2, i % 5), i, "float32"))
        for dtype in (">f2", ">f4", ">i8", "<u4"):
            file.create_dataset(f"order/{dtype[1:]}", data=np.arange(5).astype(dtype))
    wanted = {
        n: v.astype(v.dtype.newbyteorder("=")) for n, v in by_h5py(tmp_path / "many.h5").items()
    }
    assert_same(read_all(tmp_path / "many.h5"), wanted)


def write(path, what):
    """A file with one thing in it that no weights have."""
    options = {"libver": "latest"} if what == "newer" else {}
    with h5py.File(path, "w", **options) as file:
        values = np.arange(64, dtype="float32")
        if what == "newer":
            file["a"] = values
        elif what == "compressed":
            file.create_dataset("a", data=values, compression="gzip")
        elif what == "chunks":
            file.create_dataset("a", data=values, chunks=(8,))
        elif what == "elsewhere":
            path.with_name("secret").write_bytes(values.tobytes())
            file.create_dataset("a", (64,), "float32", external=[("secret", 0, 256)])
        elif what == "virtual":
            layout = h5py.VirtualLayout((64,), "float32")
            layout[:] = h5py.VirtualSource("other.h5", "a", (64,))
            file.create_virtual_dataset("a", layout)
        elif what == "soft link":
            file["a"] = h5py.SoftLink("/b")
        elif what == "other file":
            file["a"] = h5py.ExternalLink("other.h5", "/a")
        elif what == "itself":
            file.create_group("a")["b"] = file["/"]
        elif what == "objects":
            file["a"] = np.array([b"x"], h5py.string_dtype())
        elif what == "records":
            file["a"] = np.zeros(2, [("x", "f4"), ("y", "f4")])


@pytest.mark.parametrize(
    ("what", "mention"),
    [
        ("newer", "newer kind"),
        ("compressed", "compressed values"),
        ("chunks", "chunks"),
        ("elsewhere", "values in other files"),
        ("virtual", "chunks"),
        ("soft link", "symbolic link"),
        ("other file", "newer kind"),
        ("itself", "lies in itself"),
        ("objects", "class 9"),
        ("records", "class 6"),
    ],
)
def test_what_keras_does_not_write_is_refused(tmp_path, what, mention):
    write(tmp_path / "file.h5", what)
    assert mention in error_of(tmp_path / "file.h5")


def test_a_cut_file(tmp_path):
    path = tmp_path / "model.weights.h5"
    model().save_weights(path)
    path.write_bytes(path.read_bytes()[:-1000])
    assert "it is cut" in error_of(path)


def test_sizes_without_end(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.arange(7, dtype="float32")
    data = path.read_bytes()
    size = struct.pack("<Q", 7)
    assert size in data
    path.write_bytes(data.replace(size, struct.pack("<Q", 2**61)))
    assert "'a'" in error_of(path)
