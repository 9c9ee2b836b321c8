"""`fit` takes pairs, and any dataset of such batches, on each backend."""

import keras
import numpy as np
import pytest
from pair_folder import AUGMENTATION, TOKENIZER, write_broken_pairs, write_pairs
from tiny_models import tiny_clip, tiny_pairs

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


class Batches(keras.utils.PyDataset):
    """Batches of 4 as (images, token ids)."""

    def __len__(self):
        return 2

    def __getitem__(self, k):
        return tuple(part[4 * k : 4 * k + 4] for part in tiny_pairs(8).values())


def loaders(pairs):
    """The forms that torch's loader has."""
    import torch
    from torch.utils.data import DataLoader, IterableDataset, TensorDataset

    rows = [{name: pairs[name][k] for name in pairs} for k in range(8)]

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(rows)

    tensors = TensorDataset(*(torch.tensor(part) for part in pairs.values()))
    return {
        "loader of dictionaries": DataLoader(rows, batch_size=4),
        "loader of tuples": DataLoader([tuple(row.values()) for row in rows], batch_size=4),
        "loader of a stream": DataLoader(Stream(), batch_size=4),
        "dataset of tensors": DataLoader(tensors, batch_size=4),
    }


def forms(backend):
    """{name: pairs in batches of 4, as people keep them}."""
    import grain

    pairs = tiny_pairs(8)
    tuples = list(zip(*pairs.values(), strict=True))
    found = {
        "dictionary": pairs,
        "list": list(pairs.values()),
        "tuple": tuple(pairs.values()),
        **loaders(pairs),
        "PyDataset of tuples": Batches(),
        "generator of tuples": (Batches()[k] for k in range(2)),
        "grain": grain.MapDataset.source(tuples).batch(4),
    }
    if backend == "tensorflow":
        import tensorflow as tf

        data = tf.data.Dataset.from_tensor_slices
        found["tf.data of tuples"] = data(tuple(pairs.values())).batch(4)
        found["tf.data of dictionaries"] = data(pairs).batch(4)
    return found


FORMS = (
    "dictionary,list,tuple,loader of dictionaries,loader of tuples,loader of a stream,"
    "dataset of tensors,PyDataset of tuples,generator of tuples,grain,tf.data of tuples,"
    "tf.data of dictionaries"
).split(",")


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # of what knows no length
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_pairs_teaches_the_same(form, backend):
    pytest.importorskip("torch")
    if form not in forms(backend):
        pytest.skip("about another backend's data")
    losses, data = {}, forms(backend)
    for name in ("dictionary", form):
        keras.utils.set_random_seed(0)
        model = tiny_clip()
        model.compile(keras.optimizers.SGD(0.1))
        arrays = {"batch_size": 4} if name in FORMS[:3] else {}
        held_out = forms(backend)[name]
        held_out = held_out if isinstance(held_out, (list, tuple)) else (held_out,)
        held_out = {"validation_data": held_out} if name in FORMS[:3] else {}
        history = model.fit(data[name], shuffle=False, verbose=0, **arrays, **held_out).history
        evaluated = model.evaluate(forms(backend)[name], verbose=0, **arrays)
        losses[name] = [history["loss"][0], evaluated]
        if held_out:
            np.testing.assert_allclose(history["val_loss"][0], losses[name][1], rtol=1e-5)
    np.testing.assert_allclose(losses[form], losses["dictionary"], rtol=1e-5)


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_loader_of_dictionaries_lasts_for_all_epochs(epochs):
    loader = pytest.importorskip("torch.utils.data").DataLoader
    pairs = tiny_pairs(8)
    rows = [{name: pairs[name][k] for name in pairs} for k in range(8)]
    model = tiny_clip()
    model.compile("sgd")
    more = {"validation_data": loader(rows, batch_size=4), "shuffle": False, "verbose": 0}
    history = model.fit(loader(rows, batch_size=4), epochs=epochs, **more).history
    assert len(history["loss"]) == len(history["val_loss"]) == epochs
    assert model.optimizer.iterations == 2 * epochs


def test_a_loader_of_pictures_alone_is_refused_by_name():
    loader = pytest.importorskip("torch.utils.data").DataLoader
    model = tiny_clip()
    model.compile("sgd")
    with pytest.raises(ValueError, match=r"no \['images', 'token_ids'\]"):
        model.fit(loader(tiny_pairs(8)["images"], batch_size=4), shuffle=False, verbose=0)
