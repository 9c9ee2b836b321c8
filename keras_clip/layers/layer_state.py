"""What became of the layers inside a layer or model: frozen, adapted, quantised."""

import gc
import json

import keras

from keras_clip.layers.container import Container

KEY = "layer_state"  # in the configuration of a saved layer or model


def walk(layer, path=""):
    """Every layer inside a model or layer once, as (path, layer), those above before those below.

    Args:
        layer: keras.Model or keras.layers.Layer, built.
        path: str. What stands before the paths, with a slash at its end.
    """
    yield from _walk(layer, path, set())


def _walk(layer, path, seen):
    for child in layer._flatten_layers(include_self=False, recursive=False):
        if isinstance(child, Container):
            yield from _walk(child, path, seen)
        elif id(child) not in seen:
            seen.add(id(child))
            yield f"{path}{child.name}", child
            yield from _walk(child, f"{path}{child.name}/", seen)


class KeepsState:
    """Mixin of a layer or model: frozen, adapted and quantised layers inside of it stay so.

    Keras saves of a layer what its own constructor was given: not what became of the layers that
    it made. That stands here under `layer_state` of its configuration where there is any, and is
    done again once the layer is built.
    """

    def __init__(self, *args, layer_state=None, **kwargs):
        self._layer_state = json.dumps(layer_state or {})  # a str, which no backend wraps
        super().__init__(*args, **kwargs)

    def get_config(self):
        return {**super().get_config(), **self.kept_state()}

    def kept_state(self):
        """What the configuration says of the layers inside: {} where there is nothing to say."""
        state = layer_state(self) if self.built else json.loads(self._layer_state)
        return {KEY: state} if state else {}

    def _post_build(self):
        super()._post_build()
        state, self._layer_state = json.loads(self._layer_state), "{}"
        if state:
            restore_state(self, state)


def layer_state(layer):
    """What differs from layers as they are made: {path: {what: value}}, JSON-ready.

    Args:
        layer: keras.Model or keras.layers.Layer, built. Its own path is "".

    Raises:
        ValueError: a layer is quantised in a way that needs its calibration data.
    """
    trainable, state = {"": True}, {}
    for path, one in [("", layer), *walk(layer)]:
        kept = {**_quantization(path, one), **_adapters(one)}
        above = path.rpartition("/")[0] if path else ""
        if one.trainable != trainable[above]:
            kept["trainable"] = one.trainable
        trainable[path] = one.trainable
        apart = [v.name for v in one._trainable_variables if v.trainable != one.trainable]
        if apart:
            kept["exceptions"] = apart
        if kept:
            state[path] = kept
    return state


def _quantization(path, layer):
    mode = getattr(layer, "quantization_mode", None)
    if mode is None:
        return {}
    if mode in ("gptq", "awq"):
        raise ValueError(
            f"{path or layer.name} is quantised by {mode}, which cannot be done again without the "
            "data that calibrated it: use int8, int4 or float8, or export the model."
        )
    config = getattr(layer, "quantization_config", None)
    config = None if config is None else keras.saving.serialize_keras_object(config)
    return {"quantization": {"mode": mode, "config": config}}


def _adapters(layer):
    if not getattr(layer, "lora_enabled", False):
        return {}
    return {"adapters": {"rank": layer.lora_rank, "alpha": layer.lora_alpha}}


def restore_state(layer, state):
    """Bring the layers inside a layer or model into a state; weights come afterwards.

    Args:
        layer: keras.Model or keras.layers.Layer, built.
        state: as `layer_state` gives it.

    Raises:
        ValueError: there is no such layer.
    """
    known = {"": layer, **dict(walk(layer))}
    missing = [path for path in state if path not in known]
    if missing:
        raise ValueError(f"{layer.name!r} has no layers {missing}, which should be in a state.")
    gc.freeze()  # Keras looks for garbage among all objects for each layer that it quantises
    try:
        for path, kept in state.items():
            _restore(known[path], kept)
    finally:
        gc.unfreeze()
    track_variables(layer)


def track_variables(layer):
    """Tell PyTorch which weights a layer or model, and all inside of it, has now."""
    if keras.backend.backend() == "torch":
        for one in (layer, *(inner for _, inner in walk(layer))):
            one._track_variables()


def _restore(layer, kept):
    if "quantization" in kept and layer.quantization_mode is None:
        mode, config = kept["quantization"]["mode"], kept["quantization"]["config"]
        layer.quantize(mode, config=keras.saving.deserialize_keras_object(config))
    if "adapters" in kept:
        if not layer.lora_enabled:
            layer.enable_lora(kept["adapters"]["rank"])
        layer.lora_alpha = kept["adapters"]["alpha"]
    if "trainable" in kept:
        # Keras on TensorFlow does nothing where the value is the same, whatever is inside.
        layer.trainable = not kept["trainable"]
        layer.trainable = kept["trainable"]
    for variable in layer._trainable_variables:
        if variable.name in kept.get("exceptions", ()):
            variable.trainable = not layer.trainable
