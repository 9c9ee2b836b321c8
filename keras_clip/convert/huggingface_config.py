"""Values of transformers' config.json, with its defaults."""

from keras_clip.convert.errors import CheckpointError

ACTIVATIONS = {
    "gelu": "gelu",
    "quick_gelu": "quick_gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
}
ACTIVATION_NAMES = {
    "gelu": "gelu",
    "quick_gelu": "quick_gelu",
    "gelu_tanh": "gelu_pytorch_tanh",
}


class Fields:
    """The fields of one configuration, checked as they are taken.

    Args:
        values: dictionary of the file.
        defaults: dictionary of what transformers assumes where a field is left out.
        where: str. File and section, for messages.
    """

    def __init__(self, values, defaults, where):
        self._values = {**defaults, **values}
        self._where = where

    def get(self, name):
        """Return a field as it is, or None."""
        return self._values.get(name)

    def integer(self, name):
        """Return a positive whole number."""
        value = self.get(name)
        if type(value) is not int or value < 1:
            raise self._error(name, "a positive whole number")
        return value

    def token_id(self, name):
        """Return a token id, which may come as a list of one."""
        value = self.get(name)
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        if type(value) is not int or value < 0:
            raise self._error(name, "one token id")
        return value

    def pair(self, name):
        """Return (height, width) of a size that is a number or two."""
        value = self.get(name)
        pair = (value, value) if isinstance(value, int) else tuple(value or ())
        if len(pair) != 2 or any(type(size) is not int or size < 1 for size in pair):
            raise self._error(name, "a positive whole number or two of them")
        return pair

    def choice(self, name, choices):
        """Return what a field's value stands for, by a dictionary."""
        if not isinstance(self.get(name), str) or self.get(name) not in choices:
            raise self._error(name, f"one of {sorted(choices)}")
        return choices[self.get(name)]

    def encoder(self):
        """Return the fields that image and text encoders share, by our names."""
        hidden, heads = self.integer("hidden_size"), self.integer("num_attention_heads")
        if hidden % heads:
            raise self._error("num_attention_heads", f"a divisor of hidden_size={hidden}")
        epsilon = self.get("layer_norm_eps")
        if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or epsilon < 0:
            raise self._error("layer_norm_eps", "a number of at least 0")
        return {
            "hidden_dim": hidden,
            "num_layers": self.integer("num_hidden_layers"),
            "num_heads": heads,
            "mlp_dim": self.integer("intermediate_size"),
            "activation": self.choice("hidden_act", ACTIVATIONS),
            "epsilon": float(epsilon),
        }

    def picture(self):
        """Return patch and image size, (height, width) each."""
        if self.get("num_channels") != 3:
            raise self._error("num_channels", "3")
        sizes = {name: self.pair(name) for name in ("patch_size", "image_size")}
        if any(i % p for i, p in zip(sizes["image_size"], sizes["patch_size"], strict=True)):
            raise self._error("image_size", f"divisible by patch_size={sizes['patch_size']}")
        return sizes

    def _error(self, name, wanted):
        return CheckpointError(f"{self._where}: {name} is {self.get(name)!r}, expected {wanted}.")
