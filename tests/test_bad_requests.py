"""A bad request is refused before a step, says what to do, and leaves the model as it was."""

import warnings

import keras
import numpy as np
import pytest
from model_places import arrays
from saved_models import MODELS, compiled, facts, make

from keras_clip import CLIP

REFUSED = r"takes \w+ of shape|are numbers|at most|are integers"
RUNS = ("predict", "predict_on_batch", "evaluate", "test_on_batch", "train_on_batch", "fit")


def changed(x, change):
    """The arrays of a model with one of them, the pictures' or the ids', changed."""
    if not isinstance(x, dict):
        return change(x)
    name = next(name for name in ("images", "patches", "token_ids") if name in x)
    return {**x, name: change(x[name])}


REQUESTS = {
    "another size": lambda x: np.concatenate([x, x], axis=2 if x.ndim == 4 else -1),
    "one without its batch": lambda x: x[0],
    "one axis too many": lambda x: x[None, None],
    "no numbers": lambda x: x.astype(str),
}


@pytest.fixture(scope="module")
def made():
    return {name: compiled(make(name, "alone", "plain")) for name in MODELS}


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("model", MODELS)
def test_is_refused_and_costs_nothing(model, request_, made):
    model = made[model]
    (expected, weights), x = facts(model), arrays(model)
    bad = changed(x, REQUESTS[request_])
    if model.name == "text" and request_ == "another size":
        bad = np.concatenate([x, x], axis=1)  # longer than the context
    for run in RUNS:
        quiet = {"verbose": 0} if run in ("fit", "evaluate", "predict") else {}
        with pytest.raises(
            ValueError, match=r"takes \w+ of shape|are numbers|at most|are integers"
        ):
            getattr(model, run)(bad, **quiet)
    found = facts(model)
    assert found[1] == weights
    for one, other in zip(found[0], expected, strict=True):
        np.testing.assert_array_equal(one, other)


class Batches(keras.utils.PyDataset):
    """Batches as a data set gives them: the last is bad."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, k):
        return self.batches[k]


@pytest.mark.filterwarnings("ignore:The structure of `inputs`")
@pytest.mark.parametrize("run", ["predict", "evaluate", "fit"])
@pytest.mark.parametrize("model", ["vit", "clip", "zero_shot"])
def test_a_bad_batch_of_a_data_set_leaves_the_weights(model, run, made, tmp_path):
    model = made[model]
    x = arrays(model)
    bad = changed(x, lambda values: np.concatenate([values, values], axis=1))
    if isinstance(model, CLIP):
        if run == "predict":
            pytest.skip("a CLIP predicts arrays")
        batches = [x, bad]
    else:
        targets = np.ones(model(x).shape, "float32")
        batches = [(x, targets), (bad, targets)]
    arguments = {"shuffle": False} if run == "fit" else {}
    with pytest.raises(Exception, match=r"takes images|expected shape|ncompatible|shape"):
        getattr(model, run)(Batches(batches), verbose=0, **arguments)
    outputs = facts(model)[0]
    assert all(np.isfinite(output).all() for output in outputs)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    for one, other in zip(facts(again)[0], outputs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    if run == "fit":
        model.train_on_batch(*(batches[0] if isinstance(batches[0], tuple) else batches[:1]))


def test_what_to_do_next(made):
    vit, x = made["vit"], arrays(made["vit"])
    for bad, advice in (
        (np.zeros((2, 16, 24, 3), "float32"), r"from_preset\(..., image_size=\(16, 24\)\)"),
        (x[0], r"batch of one, `images\[None\]`"),
        (x.transpose(0, 3, 1, 2), r"channels come last here"),
        (np.zeros((2, 8, 12, 4), "float32"), "`image_processor` makes them"),
    ):
        with pytest.raises(ValueError, match=advice):
            vit.predict(bad, verbose=0)
    with pytest.raises(ValueError, match=r"row 1 holds the id 20, but the model knows 0 to 19"):
        made["text"].predict(np.array([[1, 2], [20, 3]], "int32"), verbose=0)


@pytest.mark.parametrize("model", ["vit", "vision", "zero_shot", "clip"])
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_raw_pixels_are_warned_of(model, kind, made):
    model = made[model]
    good = arrays(model)
    targets = [] if isinstance(model, CLIP) else [np.ones(model(good).shape, "float32")]
    raw = changed(good, lambda values: (values * 255).astype(kind))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.test_on_batch(raw, *targets)
    (said,) = [str(one.message) for one in caught if "raw pixels" in str(one.message)]
    assert "image_processor" in said and "ImagePreprocessing" in said
