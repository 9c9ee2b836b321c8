"""How the learning rate goes over a training."""

import keras


def warm_up_and_cosine(learning_rate, steps, warmup_steps):
    """Make the schedule: from rate / warmup_steps to the rate, then along a cosine to 0."""
    schedule = keras.optimizers.schedules.CosineDecay
    if not warmup_steps:
        return schedule(learning_rate, steps)
    # Not from 0, which would waste the first step.
    first = learning_rate / warmup_steps
    return schedule(
        first, steps - warmup_steps, warmup_target=learning_rate, warmup_steps=warmup_steps
    )
