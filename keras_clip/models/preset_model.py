"""What models that are built from a configuration share: how they are saved and built again."""

from keras_clip.models import preset_directory


class PresetModel:
    """Mixin of a keras.Model with `config`; its constructor takes `config`, `dtype` and `name`."""

    FAMILY = None  # its name in `keras_clip.identification.FAMILIES`
    _tokenizer = None

    def save_to_preset(self, directory, dtype=None):
        """Write configuration, weights and tokenizer; `from_preset` on it gives this model back.

        What is frozen stays so. Adapters are merged before; a quantised model goes into a `.keras`
        file.

        Args:
            directory: path, created.
            dtype: str or None. Store floating weights as e.g. `float16`; None: as they are.

        Returns:
            {name of a file: its bytes}.

        Raises:
            ValueError: it has LoRA adapters, or is quantised.
        """
        return preset_directory.save(self, directory, self.FAMILY, self._tokenizer, dtype)

    def get_config(self):
        return {
            "config": self.config.to_dict(),
            "dtype": self.dtype_policy.name,
            "name": self.name,
            **self.kept_state(),
        }


class Tokenized:
    """Mixin of a PresetModel that may know how strings become token ids."""

    @property
    def tokenizer(self):
        """Strings -> (n, context_length) int32.

        Raises:
            ValueError: the model was built without a tokenizer.
        """
        if self._tokenizer is None:
            raise ValueError(
                f"This {type(self).__name__} has no tokenizer: give its vocabulary, as in "
                "keras_clip.from_preset(source, tokenizer='bpe_simple_vocab_16e6.txt.gz') or "
                "CLIP(config, CLIPTokenizer.from_file(path))."
            )
        return self._tokenizer

    def save_assets(self, directory):
        """Keras's hook: put the tokenizer into a `.keras` file."""
        if self._tokenizer is not None:
            self._tokenizer.save(directory)

    def load_assets(self, directory):
        """Keras's hook: take the tokenizer back out of a `.keras` file."""
        if directory is not None:  # None: the file has none for this model
            self._tokenizer = preset_directory.load_tokenizer(directory)
