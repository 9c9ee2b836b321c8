"""What all configurations share: strict dictionaries, checks, copies."""

from dataclasses import asdict, fields, replace

from keras_clip.layers.activations import get_activation
from keras_clip.preprocessing.image_config import ImageConfig


class Config:
    """Base of the configurations: to and from plain dictionaries, strict about keys."""

    def to_dict(self):
        """Return the fields as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values):
        """Build from a dictionary, nested ones included.

        Raises:
            ValueError: a key is no field of this configuration, or a required one is absent.
        """
        known = {f.name: f for f in fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"{cls.__name__} has no {unknown}; its fields are {sorted(known)}.")
        built = {}
        for name, value in values.items():
            if isinstance(value, dict):
                built[name] = cls.nested(name, value)
            else:
                built[name] = tuple(value) if isinstance(value, list) else value
        try:
            return cls(**built)
        except TypeError as error:
            raise ValueError(f"{cls.__name__} cannot be built: {error}.") from None

    @staticmethod
    def nested(name, values):
        """Build the configuration in field `name`."""
        return ImageConfig.from_dict(values)

    def replace(self, **changes):
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def _check_encoder(self):
        for name in ("hidden_dim", "num_layers", "num_heads", "mlp_dim"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} is a positive integer, not {value!r}.")
        if self.hidden_dim % self.num_heads:
            raise ValueError(
                f"hidden_dim={self.hidden_dim} is not divisible by num_heads={self.num_heads}."
            )
        get_activation(self.activation)


def pair(value):
    """Return (value, value) for an int, else the value as a tuple."""
    return (value, value) if isinstance(value, int) else tuple(value)


def one_of(name, value, choices):
    """Raise a ValueError unless a field has one of these values."""
    if value not in choices:
        raise ValueError(f"{name} is one of {choices}, not {value!r}.")
