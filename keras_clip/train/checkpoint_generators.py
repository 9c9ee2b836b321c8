"""Random states that no model holds: on torch, dropout without a seed draws from torch's own.

So do the loaders that Keras makes for `fit`, `predict` and `evaluate` on torch, once each. What
they drew between two steps is undone, since an interrupted run has other loaders.
"""

import keras


class TorchGenerator:
    """The state of torch's random numbers on one device, with the face of a variable.

    Args:
        device: str, such as `cpu` or `cuda:0`.
    """

    dtype = "uint8"

    def __init__(self, device):
        self.device = device

    @property
    def value(self):
        """uint8 tensor on the host."""
        import torch

        if self.device == "cpu":
            return torch.get_rng_state()
        return torch.cuda.get_rng_state(self.device)

    @property
    def shape(self):
        return tuple(self.value.shape)

    def assign(self, array):
        """Draw from here on as when `value` was this array."""
        import torch

        state = torch.from_numpy(array.copy())
        if self.device == "cpu":
            torch.set_rng_state(state)
        else:
            torch.cuda.set_rng_state(state, self.device)


def generators():
    """Return {device: what draws random numbers there}, beside the model's own; empty but on torch.

    Reference: `dropout` in keras/src/backend/torch/random.py.
    """
    if keras.backend.backend() != "torch":
        return {}
    import torch

    devices = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    return {device: TorchGenerator(device) for device in devices}


class Held:
    """What generators were at after the last step, to go on from there at the next one.

    Args:
        optimizer: of a model that may just have been restored.
        step: int. Where training begins.
    """

    def __init__(self, optimizer, step):
        restored, states = getattr(optimizer, "_generators_restored", (None, {}))
        self.states = states if restored == step else {}

    def take(self):
        """Remember the states as they are."""
        self.states = {device: generator.value for device, generator in generators().items()}

    def put(self):
        """Go on from the states remembered, if there are any."""
        if self.states:
            for device, generator in generators().items():
                generator.assign(keras.ops.convert_to_numpy(self.states[device]))


def remember_restored(optimizer, step):
    """Have the next `Held` of an optimizer at this step begin with the states as they are."""
    states = {device: generator.value for device, generator in generators().items()}
    optimizer._generators_restored = (step, states)
