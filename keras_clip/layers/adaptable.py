"""Keras's layers that take LoRA adapters, with files that keep the adapters as they are."""

import keras


class Adaptable:
    """Mixin of a layer with Keras's `enable_lora`: adapters are saved beside the weight.

    Keras itself saves their sum, and makes both factors zero when it loads, which then have no
    gradient. Its bias would train beside the adapters; here nothing but they do.
    """

    ADAPTED = "kernel"  # the weight that has adapters

    def enable_lora(self, rank, lora_alpha=None, *args, **kwargs):
        """As Keras's; the bias is frozen as well."""
        alpha = self.lora_alpha if lora_alpha is None else lora_alpha
        super().enable_lora(rank, alpha, *args, **kwargs)
        for variable in self._trainable_variables:
            variable.trainable = variable.name in self.factors

    def quantize(self, mode=None, type_check=True, config=None):
        """As Keras's, which refuses subclasses of its layers unless told not to."""
        super().quantize(mode, type_check=False, config=config)

    def save_own_variables(self, store):
        if not self.lora_enabled:
            return super().save_own_variables(store)
        self.lora_enabled = False  # the weight alone, not the sum
        try:
            super().save_own_variables(store)
        finally:
            self.lora_enabled = True
        for name in self.factors:
            store[name] = getattr(self, name)

    def load_own_variables(self, store):
        factors = [name for name in self.factors if name in store.keys()]  # noqa: SIM118
        if factors and not self.lora_enabled:
            raise ValueError(
                f"The file has LoRA adapters of {self.path!r}, which here has none: load it into a "
                "model that `keras_clip.finetune.lora` has prepared in the same way, or write it "
                "again after `keras_clip.finetune.merge_adapters(model)`."
            )
        super().load_own_variables(store)
        for name in factors:
            getattr(self, name).assign(store[name])

    @property
    def factors(self):
        """Names of the two weights of the adapters."""
        return [f"lora_{self.ADAPTED}_{factor}" for factor in ("a", "b")]


@keras.saving.register_keras_serializable(package="keras_clip")
class Dense(Adaptable, keras.layers.Dense):
    """Keras's `Dense`."""


@keras.saving.register_keras_serializable(package="keras_clip")
class Embedding(Adaptable, keras.layers.Embedding):
    """Keras's `Embedding`."""

    ADAPTED = "embeddings"


@keras.saving.register_keras_serializable(package="keras_clip")
class Conv2D(Adaptable, keras.layers.Conv2D):
    """Keras's `Conv2D`."""
