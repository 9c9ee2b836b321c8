"""What a run would do, and two steps of it; nothing is written."""

import math
import time
from pathlib import Path

import keras

from keras_clip.models.text_lengths import used_lengths
from keras_clip.train.checkpoint_restoring import latest
from keras_clip.train.checkpoint_state import step_of
from keras_clip.train.plan import plan
from keras_clip.train.recipe_fitting import CHECKPOINTS
from keras_clip.train.recipe_parts import compile_clip
from keras_clip.train.recipe_preparing import prepare

_STEPS = 2


def dry_run(recipe, directory, from_preset=None, load_prompts=None):
    """Say what `run` would do, and take two steps to see that it can.

    Args: as of `keras_clip.train.run`; into the directory, nothing is written.

    Returns:
        Dictionary: `recipe`, the resolved text; `pairs`, `batches_per_epoch`, `steps`, `start` (the
        step at which the run would go on), `evaluations` (their names), `tokens` (of the longest
        caption in the first batch, and those that the model computes of each), `plan` (as of
        `keras_clip.train.plan`), `trained_parameters`, `losses` of the two steps, `first_step` and
        `step` in seconds, the first of which compiles, and `seconds` that the rest would take.

    Raises:
        ValueError: as `run`.
    """
    directory = Path(directory)
    clip, pairs, steps, measured = prepare(recipe, directory, from_preset, load_prompts)
    compile_clip(clip, recipe, steps, from_preset)
    found = latest(directory / CHECKPOINTS)
    start = found["step"] if found else 0
    trained = sum(math.prod(variable.shape) for variable in clip.trainable_variables)
    planned = plan(
        clip, recipe.data.batch_size, recipe.data.chunk_size,
        ema=recipe.optimizer.ema_momentum is not None, rematerialized=recipe.model.remat,
        context_length=recipe.data.context_length,
    )  # fmt: skip
    clock = _Clock()
    clip.fit(
        pairs.batches(0, _STEPS), steps_per_epoch=_STEPS, callbacks=[clock], verbose=0,
        shuffle=False,
    )  # fmt: skip
    begun, first, last = clock.times
    return {
        "recipe": recipe.to_toml(),
        "pairs": len(pairs.pictures),
        "batches_per_epoch": len(pairs),
        "tokens": _tokens(pairs, clip.config.text),
        "steps": steps,
        "start": start,
        "evaluations": list(measured),
        "plan": planned.to_dict(),
        "trained_parameters": trained,
        "losses": clock.losses,
        "first_step": first - begun,
        "step": last - first,
        "seconds": max(0, steps - start) * (last - first),
    }


def _tokens(pairs, config):
    batch, _ = pairs.make(0)
    token_ids = (batch if pairs.groups is None else batch[0])["token_ids"]
    return int(used_lengths(token_ids, config).max()), token_ids.shape[-1]


class _Clock(keras.callbacks.Callback):
    """When each step ended, and its loss."""

    def __init__(self):
        super().__init__()
        self.times, self.losses = [], []

    def on_train_begin(self, logs=None):
        self.times = [time.perf_counter()]

    def on_train_batch_end(self, batch, logs=None):
        step_of(self.model)  # waits for the step, which JAX only begins
        self.times.append(time.perf_counter())
        # Keras has the mean so far.
        self.losses.append(float(logs["loss"]) * (batch + 1) - sum(self.losses))
