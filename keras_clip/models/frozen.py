"""Which layers of a model do not train, by their paths, so that a saved model remembers them."""

KEY = "frozen"  # in the configuration of a saved model


def walk(layer, path=""):
    """Every layer inside a model or layer once, as (path, layer), those above before those below.

    Args:
        layer: keras.Model or keras.layers.Layer, built.
        path: str. What stands before the paths, with a slash at its end.
    """
    yield from _walk(layer, path, set())


def _walk(layer, path, seen):
    for child in layer._flatten_layers(include_self=False, recursive=False):
        if id(child) not in seen:
            seen.add(id(child))
            yield f"{path}{child.name}", child
            yield from _walk(child, f"{path}{child.name}/", seen)


def frozen_layers(model):
    """Paths of the layers whose `trainable` is False, without those inside of such: list of str."""
    paths = []
    for path, layer in walk(model):
        if not layer.trainable and not any(path.startswith(f"{above}/") for above in paths):
            paths.append(path)
    return paths


def freeze_layers(model, paths):
    """Set `trainable` of these layers, and of all that is in them, to False.

    Args:
        model: a built model.
        paths: as `frozen_layers` gives them.

    Raises:
        ValueError: the model has no such layer.
    """
    known = dict(walk(model))
    missing = [path for path in paths if path not in known]
    if missing:
        raise ValueError(f"{model.name!r} has no layers {missing}, which it should freeze.")
    for path in paths:
        known[path].trainable = False


def frozen_config(model):
    """What a model's configuration says of frozen layers: {} where all train."""
    paths = frozen_layers(model)
    return {KEY: paths} if paths else {}
