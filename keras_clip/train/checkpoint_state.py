"""What a checkpoint holds: variables of a model and its optimizer by name, and their model."""

import json

import keras

from keras_clip.models.weights import named_weights
from keras_clip.train.checkpoint_generators import generators
from keras_clip.version import __version__

_SHOWN = 12
_GENERATORS = "generators/"


def variables_of(model):
    """Return {name: variable} of all that training changes: weights, random states, optimizer.

    Names are the same in every process that builds the model, and unique: `weights/...`,
    `seeds/0`, `optimizer/...` and `generators/cpu`; Keras's own paths repeat across the towers of a
    CLIP, and number random states through the process. Metrics are left out: `fit` resets them
    each epoch.

    Args:
        model: a compiled model; its optimizer is built if it is not yet.

    Raises:
        ValueError: the model is not compiled.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        raise ValueError("the model has no optimizer: call model.compile(...) first")
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    known = {id(variable): name for name, variable in named_weights(model).items()}
    named, seen = {}, set()
    for variable in model.weights:
        _add(named, f"weights/{known.get(id(variable), variable.path)}", variable)
        seen.add(id(variable))
    seeds = {id(v): v for v in model.variables if id(v) not in seen}
    for number, variable in enumerate(seeds.values()):
        named[f"seeds/{number}"] = variable
    for variable in optimizer.variables:
        _add(named, f"optimizer/{variable.path.partition('/')[2] or variable.path}", variable)
    return named | {f"{_GENERATORS}{device}": state for device, state in generators().items()}


def _add(named, name, variable):
    number, unique = 1, name
    while unique in named:
        number += 1
        unique = f"{name}#{number}"
    named[unique] = variable


def iterations_of(model):
    """Number of updates of the weights, with accumulated gradients of batches, as an int."""
    optimizer = model.optimizer
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return int(keras.ops.convert_to_numpy(inner._iterations))


def step_of(model):
    """Number of batches a model was trained on: its optimizer's updates and what it skipped."""
    return iterations_of(model) + getattr(model.optimizer, "_batches_skipped", 0)


def set_step(model, step):
    """Let `step_of` return a step, whatever number of them the optimizer skipped."""
    model.optimizer._batches_skipped = step - iterations_of(model)


def describe(model):
    """Return what tells one model and optimizer from another, as JSON has it.

    Args:
        model: a compiled model.
    """
    variables = variables_of(model)
    return {
        "model": type(model).__name__,
        "config": _config(model),
        "optimizer": _optimizer_name(model.optimizer),
        "variables": {name: [str(v.dtype), list(v.shape)] for name, v in variables.items()},
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "keras_clip": __version__,
    }


def _config(model):
    try:
        config = model.get_config()
    except NotImplementedError:  # a subclass that cannot be saved is told by its variables alone
        return None
    return json.loads(json.dumps(config, default=lambda value: type(value).__name__))


def _optimizer_name(optimizer):
    name, inner = type(optimizer).__name__, getattr(optimizer, "inner_optimizer", None)
    return f"{name}({type(inner).__name__})" if inner is not None else name


def differences(saved, here):
    """Return lines that say in what two descriptions differ; none where one restores the other.

    Versions, backends and their devices may differ, and whole numbers may have other widths.

    Args:
        saved: what `describe` returned when the checkpoint was written.
        here: what it returns of the model to restore.
    """
    lines = [
        f"the {key} is {saved[key]} there, {here[key]} here"
        for key in ("model", "optimizer")
        if saved[key] != here[key]
    ]
    there, config = _flat(saved["config"]), _flat(here["config"])
    for key in sorted({*there, *config}):
        if there.get(key) != config.get(key):
            lines.append(f"{key} is {there.get(key)!r} there, {config.get(key)!r} here")
    for name in {**saved["variables"], **here["variables"]}:
        one, two = (_kind(side["variables"].get(name)) for side in (saved, here))
        if one != two and not name.startswith(_GENERATORS):
            lines.append(f"{name} is {one} there, {two} here")
    if len(lines) > _SHOWN:
        lines[_SHOWN:] = [f"and {len(lines) - _SHOWN} more"]
    return lines


def _flat(value, path="config"):
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        return {k: v for key in value for k, v in _flat(value[key], f"{path}.{key}").items()}
    return {path: value}


def _kind(spec):
    if spec is None:
        return "absent"
    dtype, shape = spec
    return f"{'whole numbers' if 'int' in dtype else dtype} {tuple(shape)}"
