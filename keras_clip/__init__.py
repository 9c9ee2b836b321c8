"""CLIP and vision transformers for Keras 3, with the official checkpoints."""

from keras_clip.backend import BackendMissingError, choose_backend
from keras_clip.version import __version__

__all__ = ["__version__"]

try:
    choose_backend()  # must come before Keras is first imported
except BackendMissingError as error:
    # The command line has to start, to say this in one line; everybody else hears it on first use.
    _message = str(error)

    def __getattr__(name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        raise BackendMissingError(_message)
