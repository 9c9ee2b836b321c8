"""What every model of this package does beyond Keras's own."""

from contextlib import contextmanager

import keras

from keras_clip.layers.layer_state import KEY, KeepsState
from keras_clip.models.input_checks import check_arrays, check_shapes
from keras_clip.models.kept_weights import kept_weights
from keras_clip.models.weights import named_variables


class Base(KeepsState):
    """Mixin of a Functional keras.Model.

    What it is given is checked before a step runs, and a step that fails leaves the weights as
    they were: on JAX, Keras takes them out of the model for the time of a step. A saved model keeps
    what is frozen, adapted and quantised inside of it. PyTorch sees every weight once, by the name
    that it has in a preset.
    """

    @classmethod
    def from_config(cls, config, *args, **kwargs):
        """Build from what `get_config` gave, of earlier versions too."""
        config = dict(config)
        frozen = config.pop("frozen", ())  # what the first files have instead
        if frozen:
            config[KEY] = {path: {"trainable": False} for path in frozen}
        return super().from_config(config, *args, **kwargs)

    def call(self, inputs, training=None, mask=None, **kwargs):
        check_shapes(self, inputs)
        return super().call(inputs, training=training, mask=mask, **kwargs)

    def fit(self, x=None, y=None, *args, **kwargs):
        """As Keras's `fit`; arrays of another shape or kind are refused before it begins."""
        validation = kwargs.get("validation_data")
        if isinstance(validation, (list, tuple)) and validation:
            check_arrays(self, validation[0])
        with self._guard(x, training=True):
            return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """As Keras's `evaluate`, checked as `fit`."""
        with self._guard(x):
            return super().evaluate(x, y, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        """As Keras's `predict`, checked as `fit`."""
        with self._guard(x):
            return super().predict(x, *args, **kwargs)

    def train_on_batch(self, x, *args, **kwargs):
        """As Keras's `train_on_batch`, checked as `fit`."""
        with self._guard(x):
            return super().train_on_batch(x, *args, **kwargs)

    def test_on_batch(self, x, *args, **kwargs):
        """As Keras's `test_on_batch`, checked as `fit`."""
        with self._guard(x):
            return super().test_on_batch(x, *args, **kwargs)

    def predict_on_batch(self, x):
        """As Keras's `predict_on_batch`, checked as `fit`."""
        with self._guard(x):
            return super().predict_on_batch(x)

    @contextmanager
    def _guard(self, x, training=False):
        check_arrays(self, x)
        with kept_weights(self, training):
            yield

    def save(self, filepath, *args, **kwargs):
        """As Keras's `save`, which begins a file before it finds out what it cannot say."""
        self.kept_state()
        return super().save(filepath, *args, **kwargs)

    def export(self, filepath, format="tf_saved_model", verbose=None, input_signature=None, **more):
        """As Keras's `export`, which writes ONNX only of what was called or says its inputs."""
        if format == "onnx" and input_signature is None:
            specs = keras.tree.map_structure(_input_spec, self.input)
            input_signature = [specs]
        return super().export(filepath, format, verbose, input_signature, **more)

    def _track_variables(self):
        """Keras's hook on PyTorch, which keys weights by paths that two towers share."""
        from torch.nn import ParameterDict

        values = {name: variable.value for name, variable in named_variables(self).items()}
        self._torch_params = ParameterDict(values)


def _input_spec(tensor):
    shape = (None, *tensor.shape[1:])
    return keras.layers.InputSpec(dtype=tensor.dtype, shape=shape, name=tensor.name)
