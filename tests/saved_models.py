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
from keras import ops
from model_places import PLACES, Subclassed, arrays

from keras_clip import CLIP, CLIPConfig, ResNetConfig, TextConfig, finetune
from keras_clip.layers.layer_state import walk
from keras_clip.models.naflex import NaFlexConfig
from keras_clip.models.probe_head import linear_classifier
from keras_clip.models.towers import VisionTower
from keras_clip.models.vit import ViT, ViTConfig
from keras_clip.models.weights import named_weights

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
    made = randomized(PLACES[place](MODELS[model]()))
    STATES[state](made)
    return made


def randomized(made):
    """A model whose weights are no longer those that its initializers give."""
    random = np.random.default_rng(1)
    for weight in made.weights:
        if "float" not in weight.dtype:
            continue
        *inputs, _ = shape = tuple(weight.shape) or (1,)
        if inputs:  # as large as keeps activations finite after a step of training
            values = random.normal(0, np.prod(inputs) ** -0.5, shape)
        else:
            values = np.abs(random.normal(0.3, 0.1, shape))  # variances among them
        weight.assign(values.reshape(weight.shape))
    return made


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
