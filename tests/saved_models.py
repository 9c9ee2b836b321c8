"""Every public model, in every place that Keras gives it and every state, saved and loaded.

As a program it is the process that loads: `python saved_models.py FOLDER`.
"""

import functools
import gc
import itertools
import json
import pathlib
import sys

import keras
import numpy as np
from keras import layers, ops

from keras_clip import CLIP, CLIPConfig, ImagePreprocessing, ResNetConfig, TextConfig, finetune
from keras_clip.layers.layer_state import walk
from keras_clip.models.naflex import NaFlexConfig
from keras_clip.models.probe_head import linear_classifier
from keras_clip.models.towers import VisionTower
from keras_clip.models.vit import ViT, ViTConfig
from keras_clip.models.weights import named_weights

BATCH = 2
ENCODER = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 12}
VISION = {**ENCODER, "patch_size": 4, "image_size": (8, 12)}
RESNET = ResNetConfig((1, 1, 1, 1), 4, num_heads=2, projection_dim=6, image_size=(32, 32))
TEXT = TextConfig(**ENCODER, vocabulary_size=20, context_length=6, projection_dim=6)


def _clip(vision=None):
    vision = vision or ViTConfig(**VISION, projection_dim=6, use_norm_pre=True)
    return CLIP(CLIPConfig(vision, TEXT))


def _zero_shot(vision=None):
    from keras_clip.models.zero_shot import zero_shot_classifier

    tower = _clip(vision).get_layer("vision")
    return zero_shot_classifier(tower, np.eye(3, 6, dtype="float32"), ["a", "b", "c"], 10.0)


def _probe():
    return linear_classifier(_clip().get_layer("vision"), np.eye(8, 3), np.zeros(3), list("abc"))


MODELS = {
    "vit": lambda: ViT(ViTConfig(**VISION, num_classes=3, layer_scale=0.1)),
    "features": lambda: ViT(ViTConfig(**VISION, num_register_tokens=2)),
    "distilled": lambda: ViT(
        ViTConfig(**VISION, num_classes=3, num_prefix_tokens=2, use_distillation_head=True)
    ),
    "clip": _clip,
    "clip_resnet": lambda: _clip(RESNET),
    "vision": lambda: _clip().get_layer("vision"),
    "resnet": lambda: VisionTower(RESNET),
    "naflex": lambda: VisionTower(NaFlexConfig(**ENCODER, patch_size=4, grid_size=(3, 3))),
    "text": lambda: _clip().get_layer("text"),
    "zero_shot": _zero_shot,
    "zero_shot_resnet": lambda: _zero_shot(RESNET),
    "probe": _probe,
}


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


def frozen_in_part(model):
    """Every third layer that has weights of its own does not train."""
    owners = [layer for _, layer in walk(model) if layer._trainable_variables]
    for layer in owners[::3]:
        layer.trainable = False


def adapted(model):
    finetune.lora(model, rank=2, alpha=3, targets="attention|mlp|conv|query|projection")
    for i, weight in enumerate(model.trainable_variables):
        values = np.random.default_rng(i).normal(0, 0.1, weight.shape)
        weight.assign(values)


def quantized(mode, model):
    gc.freeze()  # Keras looks for garbage among all objects for each layer
    try:
        model.quantize(mode)
    finally:
        gc.unfreeze()


QUANTIZED = ("int8", "int4", "float8")
STATES = {
    "plain": lambda model: None,
    "frozen": frozen_in_part,
    "lora": adapted,
    **{mode: functools.partial(quantized, mode) for mode in QUANTIZED},
}


def combinations():
    """(model, place, state), all that Keras can express."""
    dictionaries = {"clip", "clip_resnet", "naflex"}
    for model in MODELS:
        for place in PLACES:
            if place == "sequential" and model in dictionaries:
                continue  # takes one tensor
            if place == "preprocessed" and model in {*dictionaries, "text"}:
                continue  # pictures are not its only input
            for state in STATES:
                yield model, place, state


def some(every):
    """Those in which each two of a model, a place and a state meet at least once."""
    met, chosen = set(), []
    for fewest in (3, 2, 1):
        for one in every:
            pairs = set(itertools.combinations(zip("mps", one, strict=True), 2))
            if len(pairs - met) >= fewest:
                met |= pairs
                chosen.append(one)
    return chosen


def make(model, place, state):
    """A model with random weights, in its place, in its state."""
    keras.utils.set_random_seed(0)
    made = PLACES[place](MODELS[model]())
    random = np.random.default_rng(1)
    for weight in made.weights:
        if "float" in weight.dtype and "scale" not in weight.path:
            weight.assign(np.abs(random.normal(0.3, 0.1, weight.shape)))
    STATES[state](made)
    return made


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


def inputs_of(made):
    return arrays(made.inner if isinstance(made, Subclassed) else made)


def facts(made):
    """(outputs, shapes of weights and whether they train), as what must survive."""
    outputs = [ops.convert_to_numpy(x) for x in keras.tree.flatten(made(inputs_of(made)))]
    trained = {id(weight) for weight in made.trainable_weights}
    # Sorted, since Keras makes the scales of its own quantised Dense before the rest.
    weights = sorted([list(w.shape), w.dtype, id(w) in trained] for w in made.weights)
    return [x.astype("float32") for x in outputs], weights


def step(made):
    """One batch of training, and what the weights are then."""
    x = inputs_of(made)
    if isinstance(made, CLIP):
        made.train_on_batch(x)
    else:
        shape = made(x).shape
        made.train_on_batch(x, np.ones(shape, "float32"))
    named = sorted(named_weights(made).items())
    return [ops.convert_to_numpy(weight).astype("float32") for _, weight in named]


def compiled(made):
    made.compile("adam", **({} if isinstance(made, CLIP) else {"loss": "mse"}))
    return made


def main(folder):
    """Load what another process has saved, and write down what became of it."""
    for path in sorted(pathlib.Path(folder).glob("*.keras")):
        made = keras.saving.load_model(path)
        outputs, weights = facts(made)
        after = step(made) if made.compiled else []
        np.savez(path.with_suffix(".loaded.npz"), *outputs, *after)
        path.with_suffix(".loaded.json").write_text(json.dumps(weights))


if __name__ == "__main__":
    main(sys.argv[1])
