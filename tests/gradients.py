"""Gradients of a training step, as Keras's own step hands them to an optimizer."""

import keras

from keras_clip.models.weights import named_weights


class Keep(keras.optimizers.Optimizer):
    """Leaves in each weight its gradient."""

    def __init__(self, learning_rate=1.0, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)

    def update_step(self, gradient, variable, learning_rate):
        self.assign(variable, keras.ops.zeros(variable.shape, variable.dtype))
        self.assign_add(variable, gradient)  # which TensorFlow can with a sparse one too


def step(clip, pairs, y=None, **settings):
    """One step of a model; returns (loss, {name: gradient}) and leaves the gradients in it."""
    clip.compile(Keep(), **settings)
    loss = clip.train_on_batch(pairs, y)
    return float(loss), {
        name: keras.ops.convert_to_numpy(weight) for name, weight in named_weights(clip).items()
    }
