"""The forms in which people keep pairs, as the one that a CLIP is trained on."""

import sys

import keras

from keras_clip.models.pair_checks import check_inputs


def as_pairs(x, y=None):
    """Bring images and their token ids into a dictionary: (x, y).

    Args:
        x: {"images", "token_ids"}; a list or tuple of both; or the images alone, with `y` the token
            ids, as a data set of (image, token ids) gives them. Anything else stays as it is.
        y: (n,) groups or None, where it is not the token ids.
    """
    if y is None and isinstance(x, (list, tuple)) and len(x) == 2:
        return {"images": x[0], "token_ids": x[1]}, None
    given = isinstance(x, dict) and ("images" in x or "token_ids" in x)
    if not given and _are_token_ids(y) and (isinstance(x, dict) or hasattr(x, "shape")):
        return {"images": x, "token_ids": y}, None
    return x, y


def pairs_of_batch(data):
    """The same for a batch as Keras hands it to a step: (x, y, sample_weight).

    Raises:
        ValueError: there are no pairs in it.
    """
    x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
    x, y = as_pairs(x, y)
    check_inputs(x)
    return x, y, weight


def as_stream(x, repeat=False):
    """Batches of a torch `DataLoader` as a generator, on backends where Keras loses dictionaries.

    Of a batch that is a dictionary Keras hands on the tuple of its keys, on JAX and TensorFlow.

    Args:
        x: what `fit` was given.
        repeat: bool. Whether it begins again after its last batch, for more epochs.

    Returns:
        (x, number of batches an epoch or None); all but a `DataLoader` as it is.
    """
    torch = sys.modules.get("torch.utils.data")
    if torch is None or not isinstance(x, torch.DataLoader) or keras.backend.backend() == "torch":
        return x, None
    try:
        steps = len(x)
    except TypeError:  # of an iterable data set, which knows no length
        steps = None
    return _batches(x, repeat and steps is not None), steps


def _batches(loader, repeat):
    while True:
        for batch in loader:
            batch = keras.tree.map_structure(_as_numpy, batch)
            yield tuple(batch) if isinstance(batch, (list, tuple)) else (batch,)
        if not repeat:
            return


def _as_numpy(value):
    return value.numpy() if hasattr(value, "numpy") else value


def _are_token_ids(y):
    shape = getattr(y, "shape", ())
    return len(shape) >= 2 and shape[-1] != 1 and "int" in str(y.dtype)
