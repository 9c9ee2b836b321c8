"""Checks of what a model is given, before a step that would fail, or answer wrongly, with it."""

import warnings

import keras
import numpy as np

_BRIGHTEST = 20.0  # no treatment of pictures here leaves values beyond 3 or so
_ROWS = 16  # looked at for raw pixels


def check_arrays(model, x):
    """Check the arrays that a model is given; what is no array of its inputs is passed over.

    Args:
        model: a built Functional model.
        x: array, or dictionary of arrays; anything else is left to Keras.

    Raises:
        ValueError: an array has another rank, size or kind of values than the input has, or token
            ids that the model does not know.
    """
    if isinstance(x, (list, tuple)):
        return
    check_shapes(model, x)
    for tensor, spec, values in _inputs(model, x):
        kind = np.dtype(values.dtype).kind if isinstance(values, np.ndarray) else "f"
        if kind not in "fiubV":  # V is bfloat16
            raise ValueError(f"{spec.name} are numbers, not {values.dtype}: {_advice(tensor, ())}")
        if "int" in keras.backend.standardize_dtype(tensor.dtype):
            _check_ids(model, spec.name, values)
        elif isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
            _warn_of_raw_pixels(model, spec.name, values[:_ROWS])


def check_shapes(model, inputs):
    """Check ranks and sizes, of symbolic tensors too.

    Raises:
        ValueError: an input has others than the model takes.
    """
    for tensor, spec, values in _inputs(model, inputs):
        shape = tuple(values.shape)
        wanted = tuple(tensor.shape) if spec.shape is not None else None
        if wanted is None:
            good = spec.min_ndim <= len(shape) <= spec.max_ndim
            wanted = tuple(tensor.shape)
        else:
            good = len(shape) == len(wanted) and all(
                one is None or not isinstance(other, int) or one == other
                for one, other in zip(wanted[1:], shape[1:], strict=True)
            )
        if not good:
            free = iter("nTK")
            text = ", ".join(next(free) if side is None else str(side) for side in wanted)
            raise ValueError(
                f"The model {model.name!r} takes {spec.name} of shape ({text}), not "
                f"{shape}: {_advice(tensor, shape)}"
            )


def _inputs(model, x):
    """(symbolic input, its spec, what is given for it) of each input that is given as an array."""
    tensors = keras.tree.flatten(model.input)
    if isinstance(model.input, dict):
        given = [x.get(name) if isinstance(x, dict) else None for name in sorted(model.input)]
    else:
        given = [x.get(tensors[0].name) if isinstance(x, dict) else x]
    found = zip(tensors, model.input_spec or (), given, strict=False)
    return [one for one in found if hasattr(one[2], "shape") and hasattr(one[2], "dtype")]


def _advice(tensor, shape):
    """What to do next."""
    if len(tensor.shape) != 4:
        made = "`tokenizer`" if "int" in str(tensor.dtype) else "`image_processor`"
        return f"the model's {made} makes them."
    if len(shape) == 3:
        return "a single picture is a batch of one, `images[None]`."
    if len(shape) == 4 and shape[1] == tensor.shape[-1] != shape[-1]:
        return "channels come last here, `images.transpose(0, 2, 3, 1)`."
    advice = "the model's `image_processor` makes them from pictures of any size"
    if len(shape) != 4 or shape[-1] != tensor.shape[-1]:
        return f"{advice}."
    size = "({}, {})".format(*shape[1:3])
    return f"{advice}; a model for this size is `from_preset(..., image_size={size})`."


def _check_ids(model, name, ids):
    """Raise where ids are not whole numbers, or not of the model's vocabulary."""
    if not isinstance(ids, np.ndarray):
        return
    if ids.dtype.kind not in "iu":
        raise ValueError(
            f"{name} are integers, not {ids.dtype} {ids.shape}: the model's `tokenizer` makes "
            "token ids."
        )
    text = getattr(getattr(model, "config", None), "text", getattr(model, "config", None))
    if name != "token_ids" or not hasattr(text, "vocabulary_size"):
        return
    if ids.shape[-1] > text.context_length:
        raise ValueError(
            f"Rows of token_ids have {ids.shape[-1]} ids, but the model takes "
            f"{text.context_length} at most."
        )
    if ids.size and not 0 <= ids.min() <= ids.max() < text.vocabulary_size:
        wrong = (ids < 0) | (ids >= text.vocabulary_size)
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"token_ids: row {place[0]} holds the id {ids[place]}, but the model knows 0 to "
            f"{text.vocabulary_size - 1}: was another tokenizer used?"
        )


def _warn_of_raw_pixels(model, name, values):
    if name not in ("images", "patches") or not values.size:
        return
    top = float(values.max())
    image = getattr(getattr(model, "config", None), "image", None)
    limit = _BRIGHTEST
    if image is not None:  # one that takes 0..255 itself says so by its mean and deviation
        limit = max(limit, *(2 * (1 - m) / s for m, s in zip(image.mean, image.std, strict=True)))
    if top > limit:
        warnings.warn(
            f"{name} reach {top:.4g}, as raw pixels of 0 to 255 do, but {model.name!r} takes "
            "normalised ones: give them to its `image_processor` first, or put "
            "`keras_clip.ImagePreprocessing` before the model.",
            stacklevel=5,
        )
