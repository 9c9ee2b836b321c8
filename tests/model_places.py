"""Where a model stands: alone, inside of others, behind preprocessing, with a head on top."""

import keras
import numpy as np
from keras import layers

from keras_clip import ImagePreprocessing

BATCH = 2


def arrays(model):
    """Inputs of a batch."""
    random = np.random.default_rng(2)

    def values(x):
        shape = (BATCH, *(6 if side is None else side for side in x.shape[1:]))
        if x.name == "grid_sizes":
            return np.array([[2, 3], [3, 2]], "int32")[:BATCH]
        if x.dtype == "uint8":
            return random.integers(0, 256, shape).astype("uint8")
        if "int" in x.dtype:
            return random.integers(1, 19, shape).astype("int32")
        return random.uniform(0, 1, shape).astype("float32")

    sequential = isinstance(model, keras.Sequential)
    return keras.tree.map_structure(values, model.inputs[0] if sequential else model.input)


@keras.saving.register_keras_serializable(package="saved_models")
class Subclassed(keras.Model):
    """A model of a user's own around one of ours."""

    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, inputs, training=None):
        return self.inner(inputs, training=training)

    def get_config(self):
        inner = keras.saving.serialize_keras_object(self.inner)
        return {**super().get_config(), "inner": inner}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("inner")), **config)


def _symbols(model):
    return keras.tree.map_structure(
        lambda x: keras.Input(x.shape[1:], dtype=x.dtype, name=x.name), model.input
    )


def _nested(model):
    inputs = _symbols(model)
    return keras.Model(inputs, model(inputs))


def _subclassed(model):
    made = Subclassed(model)
    made(arrays(model))
    return made


def _preprocessed(model):
    raw = keras.Input((20, 24, 3), dtype="uint8", name="raw")
    x = layers.RandomFlip(seed=0)(raw)
    return keras.Model(raw, model(ImagePreprocessing(size=model.input.shape[1:3])(x)))


def _twice(model):
    inputs = _symbols(model)
    again = keras.tree.map_structure(lambda x: x, inputs)
    if isinstance(inputs, keras.KerasTensor) and "float" in inputs.dtype:
        again = layers.Rescaling(0.5)(inputs)
    one, other = (keras.tree.flatten(model(x))[0] for x in (inputs, again))
    return keras.Model(inputs, layers.Subtract()([one, other]))


def _with_head(model):
    inputs = _symbols(model)
    x = keras.tree.flatten(model(inputs))[0]
    x = layers.LayerNormalization()(x)
    return keras.Model(inputs, layers.Dense(2, name="head")(x))


def _sequential(model):
    return keras.Sequential([keras.Input(model.input.shape[1:], dtype=model.input.dtype), model])


PLACES = {
    "alone": lambda model: model,
    "functional": _nested,
    "sequential": _sequential,
    "subclassed": _subclassed,
    "preprocessed": _preprocessed,
    "twice": _twice,
    "with_head": _with_head,
}
