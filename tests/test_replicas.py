"""Batches spread over devices or processes: global negatives, or an error."""

import os
import subprocess
import sys

import numpy as np
import pytest
from tiny_models import tiny_clip, tiny_pairs

MIRRORED = """
import contextlib, sys
sys.path.insert(0, {tests!r})
import keras, numpy as np, tensorflow as tf
from gradients import Keep
from tiny_models import tiny_clip, tiny_pairs
from keras_clip.models.clip import CLIP
from keras_clip.train import ContrastiveLoss

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
pairs = tiny_pairs(8)
pairs["token_ids"][6] = pairs["token_ids"][1]
found = {{}}
for count in (1, 2):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]) if count == 2 else None
    with strategy.scope() if strategy else contextlib.nullcontext():
        keras.utils.set_random_seed(0)
        clip = CLIP(tiny_clip().config.replace(max_scale=None))
        clip.compile(Keep(), ContrastiveLoss(match_duplicates=True), 3 if strategy else None)
    loss = clip.fit(pairs, batch_size=8, shuffle=False, verbose=0).history["loss"]
    found[f"{{count}} loss"] = np.array(loss)
    for i, weight in enumerate(clip.get_weights()):
        found[f"{{count}} {{i}}"] = weight
np.savez(sys.argv[1], **found)
"""


def test_two_replicas_have_the_gradients_of_one(backend, repository, tmp_path):
    if backend != "tensorflow":
        pytest.skip("tf.distribute is TensorFlow's")
    script = MIRRORED.format(tests=str(repository / "tests"))
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "found.npz")],
        check=True,
        env={**os.environ, "PYTHONPATH": str(repository)},
        timeout=500,
    )
    found = np.load(tmp_path / "found.npz")
    names = [name for name in found.files if name.startswith("1 ")]
    assert len(names) > 20 and len(found.files) == 2 * len(names)
    for name in names:
        wanted, ours = found[name], found[f"2{name[1:]}"]
        assert np.abs(ours - wanted).max() < 1e-5 * np.abs(wanted).max(), name


def test_processes_of_torch_are_refused(backend, monkeypatch):
    if backend != "torch":
        pytest.skip("torch.distributed is torch's")
    from torch import distributed

    clip, pairs = tiny_clip(), tiny_pairs(4)
    clip.compile("sgd")
    outputs = clip(pairs)
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 1)
    assert np.isfinite(clip.compute_loss(pairs, None, outputs).item())
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    with pytest.raises(ValueError, match=r"2 processes.*KERAS_BACKEND=jax"):
        clip.compute_loss(pairs, None, outputs)
