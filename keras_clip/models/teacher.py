"""A trained CLIP whose logits another one learns from."""

from contextlib import contextmanager, nullcontext
from contextvars import ContextVar

import keras
from keras import ops

from keras_clip.models.pair_embedding import embed_pairs, flat_captions

# On JAX, the values of a teacher's variables that came into a compiled step as its arguments: as
# constants they would be in the compiled program, and be copied.
_VALUES = ContextVar("teacher_values", default=None)


def check_teacher(teacher, student):
    """Raise a ValueError unless a teacher takes the inputs of a student and judges likewise.

    A name in a teacher's place, as in a loaded model, passes: it is an error where it is used.
    """
    if teacher is None or isinstance(teacher, str):
        return
    ours, theirs = student.config, getattr(teacher, "config", None)
    if not hasattr(theirs, "is_sigmoid"):
        raise ValueError(f"teacher is a CLIP or None, not {teacher!r}.")
    if teacher is student:
        raise ValueError("The teacher is the model itself: give it a model of its own.")
    for what, mine, its in (
        ("kind of input `images`", _shapes(student), _shapes(teacher)),
        ("mean of pixels", *(_image(c, "mean") for c in (ours, theirs))),
        ("deviation of pixels", *(_image(c, "std") for c in (ours, theirs))),
        ("vocabulary size", ours.text.vocabulary_size, theirs.text.vocabulary_size),
        ("context length", ours.text.context_length, theirs.text.context_length),
        ("loss", *("sigmoid" if c.is_sigmoid else "softmax" for c in (ours, theirs))),
    ):
        if mine != its:
            raise ValueError(
                f"The teacher has another {what} than the model, {its} and not {mine}, but both "
                "are given the same batches: load it to fit (as from_preset(..., image_size=...)) "
                "or choose another."
            )


def teacher_embeddings(teacher, x, chunk_size):
    """Embeddings of a batch by a teacher, through which no gradient flows; as `embed_pairs`.

    Raises:
        ValueError: there is only its name.
    """
    if isinstance(teacher, str):
        raise ValueError(
            f"This model was saved while it learnt from the teacher {teacher!r}, which is not in "
            "its file: compile it again with loss=ContrastiveLoss(teacher=...), or without."
        )
    values = _VALUES.get()
    known = values and keras.StatelessScope(list(zip(teacher.variables, values, strict=True)))
    with known or nullcontext(), _no_gradient():
        outputs = embed_pairs(teacher, flat_captions(x), chunk_size, training=False)
    return {name: ops.stop_gradient(value) for name, value in outputs.items()}


def feed_teacher(function, teacher):
    """Let a function of Keras's trainer hand each batch on together with a teacher's variables."""
    if keras.backend.backend() != "jax" or not hasattr(teacher, "variables"):
        return function

    def fed(state, batches):
        values = [variable.value for variable in teacher.variables]
        return function(state, ({"batch": batch, "teacher": values} for batch in batches))

    return fed


@contextmanager
def fed_teacher(step_arguments):
    """Take a teacher's variables out of what a step is called with; yields what remains."""
    *state, data = step_arguments
    if not isinstance(data, dict) or set(data) != {"batch", "teacher"}:
        yield step_arguments
        return
    token = _VALUES.set(data["teacher"])
    try:
        yield (*state, data["batch"])
    finally:
        _VALUES.reset(token)


def _no_gradient():
    if keras.backend.backend() != "torch":
        return nullcontext()
    import torch

    return torch.no_grad()


def _shapes(clip):
    return keras.tree.map_structure(lambda x: x.shape[1:], clip.get_layer("vision").input)


def _image(config, name):
    return getattr(config.vision.image, name)
