"""`fit` takes pairs, and any dataset of such batches, on each backend."""

import keras
import numpy as np
import pytest
from pair_folder import AUGMENTATION, TOKENIZER, write_broken_pairs, write_pairs
from tiny_models import tiny_clip

from keras_clip.train import Pairs

pytest.importorskip("grain")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def clip():
    model = tiny_clip(tokenizer=TOKENIZER)
    model.compile("adam")
    return model


def test_fit_takes_the_batches_in_their_order(folder, clip, monkeypatch):
    pairs, seen = Pairs(folder, clip, 8, AUGMENTATION), []
    monkeypatch.setattr(pairs, "_noted", lambda made: seen.append(made[0]) or made[1])
    fitted = clip.fit(pairs.batches(5), steps_per_epoch=2, epochs=2, shuffle=False, verbose=0)
    assert np.isfinite(fitted.history["loss"]).all() and clip.optimizer.iterations == 4
    # Keras looks at two beforehand; TensorFlow takes more than it uses.
    assert seen[:6] == [5, 6, 5, 6, 7, 8]
    clip.fit(pairs.batches(4, 6), steps_per_epoch=2, shuffle=False, verbose=0)
    assert clip.optimizer.iterations == 6


@pytest.mark.slow
def test_fit_takes_what_workers_read(folder, clip):
    pairs, before = Pairs(folder, clip, 8, AUGMENTATION, workers=1), int(clip.optimizer.iterations)
    clip.fit(pairs.batches(3, 6), steps_per_epoch=3, shuffle=False, verbose=0)
    assert clip.optimizer.iterations == before + 3


def test_fit_takes_any_dataset_of_such_batches(folder, clip, backend):
    pairs = Pairs(folder, clip, 8)
    batches, before = [pairs[0], pairs[1]], int(clip.optimizer.iterations)
    for dataset in datasets(batches, backend):
        clip.fit(dataset, steps_per_epoch=2, shuffle=False, verbose=0)
        before += 2
        assert clip.optimizer.iterations == before


def test_captions_without_their_padding_train_alike(folder):
    trained = []
    for length in (None, 12):  # the longest caption has 11 tokens
        keras.utils.set_random_seed(0)
        model = tiny_clip(tokenizer=TOKENIZER)
        model.compile(keras.optimizers.SGD(0.1))
        pairs = Pairs(folder, model, 8, AUGMENTATION, context_length=length)
        fitted = model.fit(pairs.batches(), steps_per_epoch=3, shuffle=False, verbose=0)
        trained.append([*fitted.history["loss"], *model.get_weights()])
    for whole, cut in zip(*trained, strict=True):
        np.testing.assert_allclose(cut, whole, rtol=2e-6, atol=2e-6)


def test_too_many_broken_samples_end_fit(tmp_path, clip):
    pairs = Pairs(write_broken_pairs(tmp_path), clip, 8, max_broken=0)
    # TensorFlow gives its own error, around the message.
    with pytest.raises(Exception, match="samples cannot be used, more than the share of 0"):
        clip.fit(pairs.batches(), steps_per_epoch=2, shuffle=False, verbose=0)


def datasets(batches, backend):
    """The same batches as datasets of grain, and of the backend's own kind."""
    import grain

    yield grain.MapDataset.source(batches)
    yield grain.MapDataset.source(batches).to_iter_dataset()
    if backend == "tensorflow":
        import tensorflow as tf

        whole = {name: np.concatenate([one[name] for one in batches]) for name in batches[0]}
        yield tf.data.Dataset.from_tensor_slices(whole).batch(8)
    if backend == "torch":
        from torch.utils.data import DataLoader

        rows = [{name: one[name][k] for name in one} for one in batches for k in range(8)]
        yield DataLoader(rows, batch_size=8)
